import Foundation
import MartletJinja
import MartletServer

/// A request to a server, and when it is sent.
struct ServeBenchRequest: Sendable {
    struct Settings: Sendable {
        var model: String
        /// Prompts go to the chat route as a message of the user's.
        var usesChat: Bool
        var ignoresEnd: Bool
    }

    /// Seconds from the start.
    var arrival = 0.0
    /// Below `/v1/`.
    let path: String
    /// JSON.
    let body: String
    /// Nil where only the server knows.
    let promptTokens: Int?

    init(_ request: RequestTrace.Request, _ settings: Settings) {
        arrival = request.arrival
        promptTokens = request.prompt.count
        path = "completions"
        body = Self.body([("prompt", .list(request.prompt.map(Value.int)))], request.outputTokens, settings)
    }

    /// - Throws: `CommandFailure` for a document that is no request.
    init(_ document: Value, outputTokens: Int, _ settings: Settings) throws(CommandFailure) {
        let tokens = document["max_tokens"]?.integer ?? document["output_tokens"]?.integer ?? outputTokens
        guard tokens >= 1 else { throw CommandFailure("max_tokens must be at least 1") }
        if let messages = document["messages"], messages.array != nil {
            promptTokens = nil
            path = "chat/completions"
            body = Self.body([("messages", messages)], tokens, settings)
        } else if let prompt = document["prompt"], prompt.asString != nil || prompt.array != nil {
            promptTokens = prompt.array?.count
            path = settings.usesChat ? "chat/completions" : "completions"
            if settings.usesChat {
                guard prompt.asString != nil else { throw CommandFailure("token ids are no message") }
                let message: [(String, Value)] = [("role", .string("user")), ("content", prompt)]
                body = Self.body([("messages", .list([.dictionary(message)]))], tokens, settings)
            } else {
                body = Self.body([("prompt", prompt)], tokens, settings)
            }
        } else {
            throw CommandFailure("neither a 'prompt' nor 'messages'")
        }
    }

    /// The lines of a file, again from the first where it has fewer than `count`.
    ///
    /// - Parameter output: tokens of answers whose line does not say.
    /// - Throws: `CommandFailure` that names the line.
    static func dataset(
        path: String, count: Int, output: ClosedRange<Int>, seed: UInt64, _ settings: Settings
    ) throws -> [ServeBenchRequest] {
        let file = try LineFile(path: path, limit: 64 << 20)
        var random = SplitMix64(seed: seed)
        var requests: [ServeBenchRequest] = []
        var number = 0
        while requests.count < count, let line = try file.next() {
            number += 1
            guard case .bytes(let bytes) = line, let document = try? Value(strictJSON: bytes) else {
                throw CommandFailure("\(path), line \(number): not a JSON object")
            }
            do {
                requests.append(
                    try ServeBenchRequest(document, outputTokens: Int.random(in: output, using: &random), settings))
            } catch {
                throw CommandFailure("\(path), line \(number): \(error.description)")
            }
        }
        guard !requests.isEmpty else { throw CommandFailure("\(path) has no requests") }
        let lines = requests.count
        while requests.count < count { requests.append(requests[requests.count % lines]) }
        return requests
    }

    private static func body(_ prompt: [(String, Value)], _ outputTokens: Int, _ settings: Settings) -> String {
        var members: [(String, Value)] = [("model", .string(settings.model))] + prompt
        members += [
            ("max_tokens", .int(outputTokens)), ("temperature", .int(0)), ("stream", .bool(true)),
            ("stream_options", .dictionary([("include_usage", .bool(true))])),
        ]
        if settings.ignoresEnd { members.append(("ignore_eos", .bool(true))) }
        // What was read from JSON, and strings and numbers, have JSON.
        return (try? Value.dictionary(members).json()) ?? "{}"
    }
}
