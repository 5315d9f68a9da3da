import Martlet
import MartletJinja

/// Answers as OpenAI's Responses API gives them.
struct ResponsesDialect: Dialect {
    /// A part of the output.
    enum Item {
        case message(id: String, text: String)
        case call(id: String, ToolCall)
    }

    let request: CompletionRequest
    let model: String
    let created: Int
    /// What was asked for, to be repeated.
    let asked: Value
    let id = "resp_" + String.randomHex(count: 32)

    func document(_ completions: [Completion]) -> Value {
        guard let completion = completions.first else { return .null }
        let (text, calls) = request.tools?.read(completion.text) ?? (completion.text, [])
        var items: [Item] = []
        if !text.isEmpty || calls.isEmpty { items.append(.message(id: Self.newID("msg"), text: text)) }
        items += calls.map { .call(id: Self.newID("fc"), $0) }
        return response(items, reason: completion.finishReason, usage: completion.usage)
    }

    func events() -> any AnswerEvents { ResponsesEvents(self) }

    private static func status(_ reason: FinishReason?) -> String {
        reason == nil ? "in_progress" : reason == .length ? "incomplete" : "completed"
    }

    static func newID(_ kind: String) -> String { "\(kind)_" + .randomHex(count: 24) }

    /// - Parameter reason: nil while the answer is under way.
    func response(_ items: [Item], reason: FinishReason?, usage: Usage?) -> Value {
        let details: Value =
            reason == .length ? .dictionary([("reason", .string("max_output_tokens"))]) : .null
        func echo(_ name: String, _ other: Value) -> Value { asked[name] ?? other }
        var members: [(String, Value)] = [
            ("id", .string(id)), ("object", .string("response")), ("created_at", .int(created)),
            ("status", .string(Self.status(reason))), ("error", .null), ("incomplete_details", details),
            ("instructions", echo("instructions", .null)), ("max_output_tokens", echo("max_output_tokens", .null)),
            ("model", .string(model)),
            ("output", .list(items.enumerated().map { Self.json($1, $0 + 1 < items.count ? .stop : reason) })),
            ("parallel_tool_calls", echo("parallel_tool_calls", .bool(true))), ("previous_response_id", .null),
            ("store", .bool(false)), ("temperature", Value(request.parameters.temperature)),
            ("text", echo("text", .dictionary([("format", .dictionary([("type", .string("text"))]))]))),
            ("tool_choice", echo("tool_choice", .string("auto"))), ("tools", echo("tools", .list([]))),
            ("top_p", Value(request.parameters.topP)), ("truncation", .string("disabled")),
            ("metadata", echo("metadata", .dictionary([]))),
        ]
        members.append(
            (
                "usage",
                usage.map { usage in
                    .dictionary([
                        ("input_tokens", .int(usage.promptTokens)),
                        ("input_tokens_details", .dictionary([("cached_tokens", .int(usage.cachedPromptTokens))])),
                        ("output_tokens", .int(usage.generatedTokens)),
                        ("output_tokens_details", .dictionary([("reasoning_tokens", .int(0))])),
                        ("total_tokens", .int(usage.totalTokens)),
                    ])
                } ?? .null
            ))
        return .dictionary(members)
    }

    /// - Parameter reason: why it ended; nil while it is under way.
    static func json(_ item: Item, _ reason: FinishReason?) -> Value {
        let status = Value.string(status(reason))
        switch item {
        case .message(let id, let text):
            return .dictionary([
                ("type", .string("message")), ("id", .string(id)), ("status", status), ("role", .string("assistant")),
                ("content", .list(reason != nil || !text.isEmpty ? [part(text)] : [])),
            ])
        case .call(let id, let call):
            return .dictionary([
                ("type", .string("function_call")), ("id", .string(id)), ("call_id", .string(call.id)),
                ("name", .string(call.name)), ("arguments", .string(call.arguments)), ("status", status),
            ])
        }
    }

    static func part(_ text: String) -> Value {
        .dictionary([
            ("type", .string("output_text")), ("text", .string(text)), ("annotations", .list([])),
            ("logprobs", .list([])),
        ])
    }
}

/// Named and numbered events, item by item.
struct ResponsesEvents: AnswerEvents {
    private let dialect: ResponsesDialect
    private var parser: ToolCallParser?
    private var number = 0
    private var items: [ResponsesDialect.Item] = []
    private var isOpen = false
    private var hasBegun = false
    private var last: RequestOutput?

    init(_ dialect: ResponsesDialect) {
        self.dialect = dialect
        parser = dialect.request.tools.map(ToolCallParser.init)
    }

    private mutating func event(_ name: String, _ members: [(String, Value)]) -> String {
        defer { number += 1 }
        let name = "response." + name
        let start: [(String, Value)] = [("type", .string(name)), ("sequence_number", .int(number))]
        return "event: \(name)\n" + ServerSentEvents.text(.dictionary(start + members))
    }

    mutating func text(for event: CompletionStream.Event) -> String {
        guard case .output(_, let output) = event else { return ":\n\n" }
        var text = ""
        if !hasBegun {
            hasBegun = true
            let response = dialect.response([], reason: nil, usage: nil)
            text += self.event("created", [("response", response)])
            text += self.event("in_progress", [("response", response)])
        }
        last = output
        var parts: [ToolCallParser.Event] = output.text.isEmpty ? [] : [.text(output.text)]
        if parser != nil {
            parts = parser?.append(output.text) ?? []
            if output.finishReason != nil { parts += parser?.finish() ?? [] }
        }
        for part in parts {
            switch part {
            case .text(let piece): text += add(text: piece)
            case .call(_, let name):
                let id = dialect.request.tools.map { ToolCall.newID($0.format) } ?? ""
                text += begin(.call(id: ResponsesDialect.newID("fc"), ToolCall(id: id, name: name)))
            case .arguments(_, let piece): text += add(arguments: piece)
            }
        }
        return text
    }

    private var position: [(String, Value)] { [("output_index", .int(items.count - 1))] }

    private var itemID: (String, Value) {
        switch items.last {
        case .message(let id, _)?, .call(let id, _)?: ("item_id", .string(id))
        case nil: ("item_id", .null)
        }
    }

    private mutating func begin(_ item: ResponsesDialect.Item) -> String {
        var text = endItem()
        items.append(item)
        isOpen = true
        text += event("output_item.added", position + [("item", ResponsesDialect.json(item, nil))])
        if case .message = item {
            text += event(
                "content_part.added",
                [itemID] + position + [("content_index", .int(0)), ("part", ResponsesDialect.part(""))])
        }
        return text
    }

    private mutating func add(text piece: String) -> String {
        var text = ""
        if case .message? = items.last, isOpen {
        } else {
            text += begin(.message(id: ResponsesDialect.newID("msg"), text: ""))
        }
        if case .message(let id, let before)? = items.last {
            items[items.count - 1] = .message(id: id, text: before + piece)
        }
        return text
            + event(
                "output_text.delta",
                [itemID] + position + [("content_index", .int(0)), ("delta", .string(piece)), ("logprobs", .list([]))])
    }

    private mutating func add(arguments piece: String) -> String {
        guard case .call(let id, var call)? = items.last else { return "" }
        call.arguments += piece
        items[items.count - 1] = .call(id: id, call)
        return event("function_call_arguments.delta", [itemID] + position + [("delta", .string(piece))])
    }

    /// - Parameter reason: why the answer ended; `stop` where another item follows.
    private mutating func endItem(_ reason: FinishReason? = .stop) -> String {
        guard isOpen, let item = items.last else { return "" }
        isOpen = false
        var text = ""
        switch item {
        case .message(_, let whole):
            let place = [itemID] + position + [("content_index", Value.int(0))]
            text += event("output_text.done", place + [("text", .string(whole)), ("logprobs", .list([]))])
            text += event("content_part.done", place + [("part", ResponsesDialect.part(whole))])
        case .call(_, let call):
            text += event(
                "function_call_arguments.done",
                [itemID] + position + [("name", .string(call.name)), ("arguments", .string(call.arguments))])
        }
        return text + event("output_item.done", position + [("item", ResponsesDialect.json(item, reason))])
    }

    mutating func end() -> String {
        var text = items.isEmpty ? begin(.message(id: ResponsesDialect.newID("msg"), text: "")) : ""
        text += endItem(last?.finishReason)
        guard let last, let reason = last.finishReason else { return text }
        let response = dialect.response(items, reason: reason, usage: last.usage)
        return text + event(reason == .length ? "incomplete" : "completed", [("response", response)])
    }

    func text(_ error: APIError) -> String {
        let members: [(String, Value)] = [
            ("type", .string("error")), ("sequence_number", .int(number)), ("code", Value(error.code)),
            ("message", .string(error.message)), ("param", Value(error.parameter)),
        ]
        return "event: error\n" + ServerSentEvents.text(.dictionary(members))
    }
}
