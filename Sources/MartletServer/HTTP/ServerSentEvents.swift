import Martlet
import MartletJinja

/// Writes a completion's stream as OpenAI's server-sent events.
struct ServerSentEvents: AnswerEvents {
    private let response: CompletionResponse
    private let request: CompletionRequest
    /// Of each choice, so far.
    private var usages: [Usage?]
    private var offsets: [Int]
    /// Of each choice, once it has a text (`CompletionResponse.textFrame`).
    private var frames: [(before: String, after: String)?]
    /// Where answers may call functions.
    private var parsers: [ToolCallParser]

    init(_ response: CompletionResponse, _ request: CompletionRequest) {
        self.response = response
        self.request = request
        usages = Array(repeating: nil, count: request.choiceCount)
        frames = Array(repeating: nil, count: request.choiceCount)
        parsers = request.tools.map { use in (0..<request.choiceCount).map { _ in ToolCallParser(use) } } ?? []
        offsets = (0..<request.choiceCount).map { request.echoText($0).unicodeScalars.count }
    }

    func text(_ error: APIError) -> String { Self.text(error.json) }

    static func text(_ document: Value) -> String { "data: " + document.line + "\n\n" }

    mutating func text(for event: CompletionStream.Event) -> String {
        guard case .output(let choice, let output) = event else { return ":\n\n" }
        var text = ""
        if usages[choice] == nil {
            if request.kind == .chat { text += Self.text(response.roleChunk(choice)) }
            if let chunk = response.echoChunk(choice, output) { text += Self.text(chunk) }
        }
        usages[choice] = output.usage
        if let use = request.tools {
            text += deltas(choice, output, use)
        } else if output.logprobs == nil {
            if !output.text.isEmpty { text += plainText(choice, output.text) }
        } else if let chunk = response.textChunk(choice, output, offset: offsets[choice]) {
            text += Self.text(chunk)
        }
        offsets[choice] += response.width(output.logprobs ?? [])
        if let reason = output.finishReason {
            let hasCalls = request.tools != nil && parsers[choice].callCount > 0 && reason == .stop
            text += Self.text(
                response.finishChunk(choice, hasCalls ? CompletionResponse.callsReason : reason.rawValue))
        }
        return text
    }

    private mutating func plainText(_ choice: Int, _ part: String) -> String {
        let frame = frames[choice] ?? response.textFrame(choice)
        frames[choice] = frame
        return "data: " + frame.before + Value.string(part).line + frame.after + "\n\n"
    }

    /// Text and calls as they come.
    private mutating func deltas(_ choice: Int, _ output: RequestOutput, _ use: ToolUse) -> String {
        var events = parsers[choice].append(output.text)
        if output.finishReason != nil { events += parsers[choice].finish() }
        var text = ""
        // Log-probabilities come with the first chunk, or with one that says nothing else.
        var rest: RequestOutput? = output
        func add(_ delta: [(String, Value)]) {
            text += Self.text(response.deltaChunk(choice, delta, rest))
            rest = nil
        }
        for event in events {
            switch event {
            case .text(let part): add([("content", .string(part))])
            case .call(let index, let name):
                let call = ToolCall(id: ToolCall.newID(use.format), name: name)
                add([("tool_calls", .list([call.delta(index)]))])
            case .arguments(let index, let part):
                add([("tool_calls", .list([ToolCall.delta(index, arguments: part)]))])
            }
        }
        if events.isEmpty, output.logprobs?.isEmpty == false { add([]) }
        return text
    }

    /// What comes behind the last choice.
    mutating func end() -> String {
        var text = ""
        if request.includesUsage {
            text += Self.text(response.usageChunk(.sum(usages.compactMap { $0 }, choices: request.parameters.n)))
        }
        return text + "data: [DONE]\n\n"
    }
}
