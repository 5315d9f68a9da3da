import MartletJinja

/// A request of Anthropic's Messages API, as one for a chat completion of OpenAI's.
struct AnthropicRequest {
    /// - Parameter countsOnly: the request is for the number of its tokens.
    static func chat(_ document: Value, countsOnly: Bool = false) throws(APIError) -> Translation {
        var fields = try RequestFields(document)
        var chat: [(String, Value)] = []
        var messages: [Value] = []
        var names = FieldNames(fields: [
            "stop": "stop_sequences", "response_format": "output_config.format",
            "response_format.json_schema": "output_config.format",
            "response_format.json_schema.schema": "output_config.format.schema",
        ])
        if let system = fields.take("system") {
            messages.append(.dictionary([("role", .string("system")), ("content", try text(system, "system"))]))
            names.messages.append("system")
        }
        guard let list = fields.take("messages") else { throw .missing("messages") }
        guard let elements = list.array else { throw .type("messages", expected: "an array of objects", got: list) }
        for (index, element) in elements.enumerated() {
            let parts = try Self.messages(element, "messages[\(index)]")
            messages += parts
            names.messages += parts.map { _ in "messages[\(index)]" }
        }
        chat.append(("messages", .list(messages)))
        // The answer goes on where the assistant's own last words end.
        if let last = messages.last, last["role"]?.asString == "assistant", last["tool_calls"] == nil {
            chat.append(("continue_final_message", .bool(true)))
        }
        if countsOnly {
            chat.append(("max_tokens", .int(1)))
        } else {
            guard let count = fields.take("max_tokens") else { throw .missing("max_tokens") }
            chat.append(("max_tokens", count))
        }
        for (name, other) in [
            ("model", "model"), ("stop_sequences", "stop"), ("stream", "stream"), ("temperature", "temperature"),
            ("top_p", "top_p"), ("top_k", "top_k"), ("metadata", "metadata"), ("service_tier", "service_tier"),
        ] {
            if let value = fields.take(name) { chat.append((other, value)) }
        }
        if let thinking = try fields.object("thinking"), thinking["type"]?.asString != "disabled" {
            throw .unsupported("thinking")
        }
        if let value = fields.take("output_config"), !value.isNull {
            var output = try RequestFields(value)
            if let format = output.take("format"), !format.isNull {
                guard format["type"]?.asString == "json_schema" else {
                    throw .unsupported("output_config.format.type", "must be 'json_schema'")
                }
                chat.append(("response_format", try ResponsesRequest.format(format, "output_config.format")))
            }
            if let name = output.remaining.first { throw .unsupported("output_config.\(name)") }
        }
        if let tools = fields.take("tools") { chat.append(("tools", try Self.tools(tools))) }
        if let choice = fields.take("tool_choice") { chat += try toolChoice(choice) }
        // The rest is as unknown here as there.
        chat += try fields.untranslated()
        return Translation(kind: .chat, document: .dictionary(chat), names: names)
    }

    /// A string, or blocks of text.
    private static func text(_ value: Value, _ path: String) throws(APIError) -> Value {
        if value.asString != nil { return value }
        guard let blocks = value.array else {
            throw .type(path, expected: "a string or an array of blocks", got: value)
        }
        var texts: [String] = []
        for (index, block) in blocks.enumerated() {
            guard block["type"]?.asString == "text", let text = block["text"]?.asString else {
                throw .unsupported("\(path)[\(index)].type", "must be 'text'")
            }
            texts.append(text)
        }
        return .string(texts.joined(separator: "\n"))
    }

    /// A message may hold results of functions, which are messages of their own elsewhere.
    private static func messages(_ value: Value, _ path: String) throws(APIError) -> [Value] {
        guard let role = value["role"]?.asString, ["user", "assistant"].contains(role) else {
            throw .value("\(path).role", "must be 'user' or 'assistant'")
        }
        guard let content = value["content"] else { throw .missing("\(path).content") }
        guard let blocks = content.array else {
            return [.dictionary([("role", .string(role)), ("content", content)])]
        }
        var results: [Value] = []
        var parts: [Value] = []
        var calls: [Value] = []
        for (index, block) in blocks.enumerated() {
            let path = "\(path).content[\(index)]"
            switch block["type"]?.asString {
            case "text": parts.append(.dictionary([("type", .string("text")), ("text", block["text"] ?? .null)]))
            case "image":
                guard block["source"]?["type"]?.asString == "base64", let data = block["source"]?["data"]?.asString
                else {
                    throw .unsupported("\(path).source.type", "must be 'base64'; images are not fetched from elsewhere")
                }
                let type = block["source"]?["media_type"]?.asString ?? "image/png"
                let url = Value.dictionary([("url", .string("data:\(type);base64,\(data)"))])
                parts.append(.dictionary([("type", .string("image_url")), ("image_url", url)]))
            case "tool_use":
                let arguments = try? (block["input"] ?? .dictionary([])).json()
                let function: [(String, Value)] = [
                    ("name", block["name"] ?? .null), ("arguments", .string(arguments ?? "{}")),
                ]
                calls.append(
                    .dictionary([
                        ("id", block["id"] ?? .null), ("type", .string("function")),
                        ("function", .dictionary(function)),
                    ]))
            case "tool_result": results.append(try result(block, path))
            case let type: throw .unsupported("\(path).type", "'\(type ?? "")' is not supported")
            }
        }
        var message: [(String, Value)] = [("role", .string(role))]
        if !parts.isEmpty { message.append(("content", .list(parts))) }
        if !calls.isEmpty { message.append(("tool_calls", .list(calls))) }
        return results + (parts.isEmpty && calls.isEmpty ? [] : [.dictionary(message)])
    }

    /// What a function gave.
    private static func result(_ block: Value, _ path: String) throws(APIError) -> Value {
        var content = try text(block["content"] ?? .string(""), "\(path).content")
        if let flag = block["is_error"], !flag.isNull {
            guard case .bool(let isError) = flag else {
                throw .type("\(path).is_error", expected: "a boolean", got: flag)
            }
            // Chat templates have no other place for it.
            if isError { content = .string("Error: " + (content.asString ?? "")) }
        }
        return .dictionary([
            ("role", .string("tool")), ("tool_call_id", block["tool_use_id"] ?? .null), ("content", content),
        ])
    }

    private static func tools(_ value: Value) throws(APIError) -> Value {
        guard let elements = value.array else { throw .type("tools", expected: "an array of objects", got: value) }
        var tools: [Value] = []
        for (index, element) in elements.enumerated() {
            if let type = element["type"], !type.isNull, type.asString != "custom" {
                throw .unsupported("tools[\(index)].type", "must be 'custom'")
            }
            var function: [(String, Value)] = [("name", element["name"] ?? .null)]
            if let text = element["description"] { function.append(("description", text)) }
            if let schema = element["input_schema"] { function.append(("parameters", schema)) }
            if let strict = element["strict"] { function.append(("strict", strict)) }
            tools.append(.dictionary([("type", .string("function")), ("function", .dictionary(function))]))
        }
        return .list(tools)
    }

    private static func toolChoice(_ value: Value) throws(APIError) -> [(String, Value)] {
        var fields: [(String, Value)] = []
        switch value["type"]?.asString {
        case "auto": fields.append(("tool_choice", .string("auto")))
        case "any": fields.append(("tool_choice", .string("required")))
        case "none": fields.append(("tool_choice", .string("none")))
        case "tool":
            fields.append(
                (
                    "tool_choice",
                    .dictionary([
                        ("type", .string("function")),
                        ("function", .dictionary([("name", value["name"] ?? .null)])),
                    ])
                ))
        default: throw .value("tool_choice.type", "must be 'auto', 'any', 'tool' or 'none'")
        }
        if let alone = value["disable_parallel_tool_use"], !alone.isNull {
            guard case .bool(let isAlone) = alone else {
                throw .type("tool_choice.disable_parallel_tool_use", expected: "a boolean", got: alone)
            }
            fields.append(("parallel_tool_calls", .bool(!isAlone)))
        }
        return fields
    }
}
