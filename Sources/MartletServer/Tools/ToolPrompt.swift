import MartletJinja

/// Conversations with functions for chat templates that know none: they are told in the system message, in Hermes' format.
enum ToolPrompt {
    static func messages(_ messages: [Value], tools: [Value]) -> [Value] {
        var result = messages.map(message)
        guard !tools.isEmpty else { return result }
        let list = tools.compactMap { try? ($0["function"] ?? $0).json() }.joined(separator: "\n")
        let text = """
            You may call functions to answer. These are the functions, with JSON Schemas of their arguments:
            <tools>
            \(list)
            </tools>
            To call one, write its name and arguments as JSON between these marks:
            \(ToolFormat.hermesStart)
            {"name": "<name>", "arguments": {<arguments>}}
            \(ToolFormat.hermesEnd)
            """
        if case .dictionary(var first)? = result.first, first["role"]?.asString == "system" {
            first.set(.string("content"), .string((first["content"]?.asString ?? "") + "\n\n" + text))
            result[0] = .dictionary(first)
        } else {
            result.insert(.dictionary([("role", .string("system")), ("content", .string(text))]), at: 0)
        }
        return result
    }

    /// Calls and their results as text of the assistant and the user.
    private static func message(_ message: Value) -> Value {
        guard case .dictionary(let members) = message else { return message }
        let content = members["content"] ?? .string("")
        if members["role"]?.asString == "tool" {
            let response = wrapped(content, "<tool_response>\n", "\n</tool_response>")
            return .dictionary([("role", .string("user")), ("content", response)])
        }
        guard let calls = members["tool_calls"]?.array else { return message }
        let texts = calls.map { call -> String in
            let function = call["function"] ?? .null
            let members: [(String, Value)] = [
                ("name", function["name"] ?? .null), ("arguments", function["arguments"] ?? .dictionary([])),
            ]
            let json = (try? Value.dictionary(members).json()) ?? ""
            return "\(ToolFormat.hermesStart)\n\(json)\n\(ToolFormat.hermesEnd)"
        }
        let isAlone = content.asString?.isEmpty ?? (content.array?.isEmpty != false)
        let text = wrapped(content, "", (isAlone ? "" : "\n") + texts.joined(separator: "\n"))
        return .dictionary([("role", .string("assistant")), ("content", text)])
    }

    /// A content with texts around it: a string, or parts for models that see images.
    private static func wrapped(_ content: Value, _ before: String, _ after: String) -> Value {
        guard let parts = content.array else { return .string(before + (content.asString ?? "") + after) }
        return .list((before.isEmpty ? [] : [MessageReader.part(before)]) + parts + [MessageReader.part(after)])
    }
}
