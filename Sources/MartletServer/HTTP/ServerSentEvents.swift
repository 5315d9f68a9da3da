import Martlet
import MartletJinja

/// Writes a completion's stream as OpenAI's server-sent events.
struct ServerSentEvents: Sendable {
    private let response: CompletionResponse
    private let request: CompletionRequest
    /// Of each choice, so far.
    private var usages: [Usage?]
    private var offsets: [Int]

    init(_ response: CompletionResponse, _ request: CompletionRequest) {
        self.response = response
        self.request = request
        usages = Array(repeating: nil, count: request.choiceCount)
        offsets = (0..<request.choiceCount).map { request.echoText($0).unicodeScalars.count }
    }

    static func text(_ document: Value) -> String { "data: " + ((try? document.json()) ?? "{}") + "\n\n" }

    mutating func text(for event: CompletionStream.Event) -> String {
        guard case .output(let choice, let output) = event else { return ":\n\n" }
        var text = ""
        if usages[choice] == nil {
            if request.kind == .chat { text += Self.text(response.roleChunk(choice)) }
            if let chunk = response.echoChunk(choice, output) { text += Self.text(chunk) }
        }
        usages[choice] = output.usage
        if let chunk = response.textChunk(choice, output, offset: offsets[choice]) { text += Self.text(chunk) }
        offsets[choice] += output.text.unicodeScalars.count
        if let reason = output.finishReason { text += Self.text(response.finishChunk(choice, reason)) }
        return text
    }

    /// What comes behind the last choice.
    func end() -> String {
        var text = ""
        if request.includesUsage { text += Self.text(response.usageChunk(.sum(usages.compactMap { $0 }, choices: request.parameters.n))) }
        return text + "data: [DONE]\n\n"
    }
}
