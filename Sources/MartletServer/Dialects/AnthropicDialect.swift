import Martlet
import MartletJinja

/// Answers as Anthropic's Messages API gives them.
struct AnthropicDialect: Dialect {
    let request: CompletionRequest
    let model: String
    let id = "msg_" + String.randomHex(count: 24)

    func document(_ completions: [Completion]) -> Value {
        guard let completion = completions.first else { return .null }
        let (text, calls) = request.tools?.read(completion.text) ?? (completion.text, [])
        var blocks: [Value] = []
        if !text.isEmpty || calls.isEmpty {
            blocks.append(.dictionary([("type", .string("text")), ("text", .string(text))]))
        }
        for call in calls {
            blocks.append(
                .dictionary([
                    ("type", .string("tool_use")), ("id", .string(call.id)), ("name", .string(call.name)),
                    ("input", (try? Value(json: call.arguments)) ?? .dictionary([])),
                ]))
        }
        return message(
            blocks, completion.usage,
            stop: Self.stop(completion.finishReason, completion.stopString, hasCalls: !calls.isEmpty))
    }

    func events() -> any AnswerEvents { AnthropicEvents(self) }

    /// `stop_reason` and `stop_sequence`.
    static func stop(_ reason: FinishReason, _ string: String?, hasCalls: Bool) -> [(String, Value)] {
        let name =
            reason == .length ? "max_tokens" : string != nil ? "stop_sequence" : hasCalls ? "tool_use" : "end_turn"
        return [("stop_reason", .string(name)), ("stop_sequence", Value(string))]
    }

    func message(_ blocks: [Value], _ usage: Usage, stop: [(String, Value)]) -> Value {
        .dictionary(
            [
                ("id", .string(id)), ("type", .string("message")), ("role", .string("assistant")),
                ("model", .string(model)), ("content", .list(blocks)),
            ] + stop + [("usage", Self.usage(usage))])
    }

    static func usage(_ usage: Usage) -> Value {
        .dictionary([
            ("input_tokens", .int(usage.promptTokens - usage.cachedPromptTokens)),
            ("output_tokens", .int(usage.generatedTokens)),
            ("cache_read_input_tokens", .int(usage.cachedPromptTokens)), ("cache_creation_input_tokens", .int(0)),
        ])
    }
}

/// Named events, block by block.
struct AnthropicEvents: AnswerEvents {
    private enum Block { case text, call }

    private let dialect: AnthropicDialect
    private var parser: ToolCallParser?
    private var hasBegun = false
    private var block: Block?
    private var index = -1
    private var last: RequestOutput?

    init(_ dialect: AnthropicDialect) {
        self.dialect = dialect
        parser = dialect.request.tools.map(ToolCallParser.init)
    }

    private static func event(_ name: String, _ members: [(String, Value)]) -> String {
        let document = Value.dictionary([("type", .string(name))] + members)
        return "event: \(name)\n" + ServerSentEvents.text(document)
    }

    mutating func text(for event: CompletionStream.Event) -> String {
        guard case .output(_, let output) = event else { return Self.event("ping", []) }
        var text = ""
        if !hasBegun {
            hasBegun = true
            var usage = output.usage
            usage.generatedTokens = 0
            let message = dialect.message([], usage, stop: [("stop_reason", .null), ("stop_sequence", .null)])
            text += Self.event("message_start", [("message", message)]) + Self.event("ping", [])
        }
        last = output
        var parts: [ToolCallParser.Event] = output.text.isEmpty ? [] : [.text(output.text)]
        if parser != nil {
            parts = parser?.append(output.text) ?? []
            if output.finishReason != nil { parts += parser?.finish() ?? [] }
        }
        for part in parts {
            switch part {
            case .text(let piece):
                if block != .text { text += begin(.text, [("type", .string("text")), ("text", .string(""))]) }
                text += delta([("type", .string("text_delta")), ("text", .string(piece))])
            case .call(_, let name):
                let id = dialect.request.tools.map { ToolCall.newID($0.format) } ?? ""
                text += begin(
                    .call,
                    [
                        ("type", .string("tool_use")), ("id", .string(id)), ("name", .string(name)),
                        ("input", .dictionary([])),
                    ])
            case .arguments(_, let piece):
                text += delta([("type", .string("input_json_delta")), ("partial_json", .string(piece))])
            }
        }
        return text
    }

    private mutating func begin(_ kind: Block, _ contents: [(String, Value)]) -> String {
        let text = endBlock()
        block = kind
        index += 1
        return text
            + Self.event("content_block_start", [("index", .int(index)), ("content_block", .dictionary(contents))])
    }

    private func delta(_ delta: [(String, Value)]) -> String {
        Self.event("content_block_delta", [("index", .int(index)), ("delta", .dictionary(delta))])
    }

    private mutating func endBlock() -> String {
        guard block != nil else { return "" }
        block = nil
        return Self.event("content_block_stop", [("index", .int(index))])
    }

    mutating func end() -> String {
        var text = endBlock()
        guard let last, let reason = last.finishReason else { return text }
        let stop = AnthropicDialect.stop(reason, last.stopString, hasCalls: parser.map { $0.callCount > 0 } ?? false)
        text += Self.event(
            "message_delta", [("delta", .dictionary(stop)), ("usage", AnthropicDialect.usage(last.usage))])
        return text + Self.event("message_stop", [])
    }

    func text(_ error: APIError) -> String {
        "event: error\n" + ServerSentEvents.text(ErrorStyle.anthropic.document(error))
    }
}
