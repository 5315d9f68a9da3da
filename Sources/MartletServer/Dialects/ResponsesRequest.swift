import MartletJinja

/// A request of OpenAI's Responses API, as one for a chat completion. Nothing is kept between requests.
struct ResponsesRequest {
    static func chat(_ document: Value) throws(APIError) -> Translation {
        var fields = try RequestFields(document)
        var chat: [(String, Value)] = []
        for name in [
            "previous_response_id", "conversation", "prompt", "background", "max_tool_calls", "reasoning",
            "top_logprobs",
        ] {
            if let value = fields.take(name) {
                if case .bool(false) = value { continue }
                throw .unsupported(name)
            }
        }
        if let store = fields.take("store"), case .bool(true) = store {
            throw .unsupported("store", "must not be true: nothing is kept between requests")
        }
        if let truncation = try fields.string("truncation"), truncation != "disabled" {
            throw .unsupported("truncation", "must be 'disabled'")
        }
        if let include = fields.take("include"), include.isPresent { throw .unsupported("include") }
        var messages: [Value] = []
        var names = Self.names
        if let instructions = try fields.string("instructions") {
            messages.append(.dictionary([("role", .string("system")), ("content", .string(instructions))]))
            names.messages.append("instructions")
        }
        guard let input = fields.take("input") else { throw .missing("input") }
        for turn in try Self.turns(input) {
            messages.append(turn.message)
            names.messages.append(turn.path)
        }
        chat.append(("messages", .list(messages)))
        if let count = fields.take("max_output_tokens") { chat.append(("max_completion_tokens", count)) }
        if var text = try fields.take("text").map({ (value) throws(APIError) in try RequestFields(value) }) {
            if let format = text.take("format") {
                chat.append(("response_format", try Self.format(format, "text.format")))
            }
            if let verbosity = try text.string("verbosity"), verbosity != "medium" {
                throw .unsupported("text.verbosity")
            }
            if let name = text.remaining.first { throw .unsupported("text.\(name)") }
        }
        if let tools = fields.take("tools") { chat.append(("tools", try Self.tools(tools))) }
        if let choice = fields.take("tool_choice") { chat.append(("tool_choice", choice)) }
        // What both APIs call the same, and what neither knows.
        chat += try fields.untranslated()
        return Translation(kind: .chat, document: .dictionary(chat), names: names)
    }

    private static let names = FieldNames(fields: [
        "messages": "input", "max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens",
        "response_format": "text.format", "response_format.json_schema": "text.format",
        "response_format.json_schema.schema": "text.format.schema",
    ])

    /// A message of a chat.
    private struct Turn {
        /// The item that it begins with.
        let path: String
        let role: Value
        var content: Value?
        var calls: [Value] = []
        /// Of a result.
        var callID: Value?

        var message: Value {
            var members: [(String, Value)] = [("role", role)]
            if let content { members.append(("content", content)) }
            if !calls.isEmpty { members.append(("tool_calls", .list(calls))) }
            if let callID { members.append(("tool_call_id", callID)) }
            return .dictionary(members)
        }
    }

    /// A string, or a list of messages, calls and results of calls. What the assistant said and the calls behind it are one
    /// turn, as the model wrote it.
    private static func turns(_ input: Value) throws(APIError) -> [Turn] {
        if input.asString != nil { return [Turn(path: "input", role: .string("user"), content: input)] }
        guard let items = input.array else {
            throw .type("input", expected: "a string or an array of items", got: input)
        }
        var turns: [Turn] = []
        for (index, item) in items.enumerated() {
            let path = "input[\(index)]"
            switch item["type"]?.asString ?? "message" {
            case "message":
                let content = try content(item["content"] ?? .null, path)
                turns.append(Turn(path: path, role: item["role"] ?? .null, content: content))
            case "function_call":
                let function: [(String, Value)] = [
                    ("name", item["name"] ?? .null), ("arguments", item["arguments"] ?? .string("{}")),
                ]
                let call = Value.dictionary([
                    ("id", item["call_id"] ?? .null), ("type", .string("function")),
                    ("function", .dictionary(function)),
                ])
                if turns.last?.role.asString != "assistant" {
                    turns.append(Turn(path: path, role: .string("assistant")))
                }
                turns[turns.count - 1].calls.append(call)
            case "function_call_output":
                turns.append(
                    Turn(
                        path: path, role: .string("tool"), content: item["output"] ?? .string(""),
                        callID: item["call_id"] ?? .null))
            case let type: throw .unsupported("\(path).type", "'\(type)' is not supported")
            }
        }
        return turns
    }

    private static func content(_ value: Value, _ path: String) throws(APIError) -> Value {
        guard let parts = value.array else { return value }
        var result: [Value] = []
        for part in parts {
            // The other kinds are named alike, or refused by their name.
            if part["type"]?.asString == "input_image" {
                let url = Value.dictionary([("url", part["image_url"] ?? .null)])
                result.append(.dictionary([("type", .string("image_url")), ("image_url", url)]))
            } else {
                result.append(part)
            }
        }
        return .list(result)
    }

    /// The schema lies one level higher here.
    static func format(_ value: Value, _ path: String) throws(APIError) -> Value {
        guard case .dictionary(let format) = value else { throw .type(path, expected: "an object", got: value) }
        guard format["type"]?.asString == "json_schema" else { return value }
        var members: [(String, Value)] = []
        for (key, value) in zip(format.keys, format.values) where key.asString != "type" {
            members.append((key.asString ?? "", value))
        }
        return .dictionary([("type", .string("json_schema")), ("json_schema", .dictionary(members))])
    }

    private static func tools(_ value: Value) throws(APIError) -> Value {
        guard let elements = value.array else { throw .type("tools", expected: "an array of objects", got: value) }
        return .list(
            elements.map { element in
                guard case .dictionary(let members) = element, members["type"]?.asString == "function" else {
                    return element
                }
                var function: [(String, Value)] = []
                for (key, value) in zip(members.keys, members.values) where key.asString != "type" {
                    function.append((key.asString ?? "", value))
                }
                return .dictionary([("type", .string("function")), ("function", .dictionary(function))])
            })
    }
}
