import Martlet
import MartletJinja

extension RequestFields {
    /// Most messages of a conversation: templates walk all of them.
    private static var maximumMessages: Int { 10_000 }

    /// The tokens of the conversation in `messages`, ready for the answer.
    mutating func chatPrompt(_ llm: LLM) throws(APIError) -> [Int] {
        guard let value = take("messages") else {
            throw APIError(
                400, "Missing required parameter: 'messages'.", parameter: "messages",
                code: "missing_required_parameter")
        }
        guard let elements = value.array else { throw .type("messages", expected: "an array of objects", got: value) }
        guard !elements.isEmpty else { throw .value("messages", "must not be empty") }
        guard elements.count <= Self.maximumMessages else {
            throw .value("messages", "may have \(Self.maximumMessages) messages at most")
        }
        var messages: [Value] = []
        for (index, element) in elements.enumerated() {
            messages.append(try Self.message(element, "messages[\(index)]"))
        }

        var variables: [String: Value] = [:]
        if let object = try object("chat_template_kwargs") {
            for (key, value) in zip(object.keys, object.values) { variables[key.asString ?? ""] = value }
        }
        for name in ["messages", "tools"] where variables[name] != nil {
            throw .value("chat_template_kwargs", "must not have '\(name)'")
        }
        variables["add_generation_prompt"] = .bool(try bool("add_generation_prompt") ?? true)
        variables["messages"] = .list(messages)
        do {
            return try llm.promptTokens(template: variables)
        } catch {
            throw APIError(error, prompt: "messages")
        }
    }

    /// One message as templates expect it: its content is a string.
    private static func message(_ value: Value, _ path: String) throws(APIError) -> Value {
        guard case .dictionary(let object) = value else { throw .type(path, expected: "an object", got: value) }
        guard var role = object["role"]?.asString else {
            throw .type("\(path).role", expected: "a string", got: object["role"] ?? .null)
        }
        // OpenAI's newer name for it; templates know the older one.
        if role == "developer" { role = "system" }
        guard ["system", "user", "assistant", "tool"].contains(role) else {
            throw .value("\(path).role", "must be 'system', 'developer', 'user', 'assistant' or 'tool'")
        }
        for name in ["tool_calls", "function_call", "audio"] {
            if let value = object[name], value.isPresent { throw .unsupported("\(path).\(name)") }
        }
        var message: [(String, Value)] = [("role", .string(role))]
        for (key, value) in zip(object.keys, object.values) where key.asString != "role" {
            let name = key.asString ?? ""
            message.append((name, name == "content" ? .string(try content(value, "\(path).content")) : value))
        }
        guard object["content"] != nil else {
            throw APIError(
                400, "Missing required parameter: '\(path).content'.", parameter: "\(path).content",
                code: "missing_required_parameter")
        }
        return .dictionary(message)
    }

    /// A string, or parts of type "text", which are joined by newlines as vLLM joins them.
    private static func content(_ value: Value, _ path: String) throws(APIError) -> String {
        if let text = value.asString { return text }
        guard let parts = value.array else { throw .type(path, expected: "a string or an array of parts", got: value) }
        var texts: [String] = []
        for (index, part) in parts.enumerated() {
            guard let type = part["type"]?.asString else {
                throw .type("\(path)[\(index)].type", expected: "a string", got: part["type"] ?? .null)
            }
            guard type == "text" else { throw .unsupported("\(path)[\(index)].type", "'\(type)' is not supported") }
            guard let text = part["text"]?.asString else {
                throw .type("\(path)[\(index)].text", expected: "a string", got: part["text"] ?? .null)
            }
            texts.append(text)
        }
        return texts.joined(separator: "\n")
    }
}

extension Value {
    /// Neither null nor an empty list.
    fileprivate var isPresent: Bool {
        if case .null = self { return false }
        return array?.isEmpty != true
    }
}
