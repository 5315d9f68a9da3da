import MartletGrammar
import MartletJinja

/// The functions that an answer may call.
struct ToolUse: Sendable {
    struct Function: Sendable {
        var name: String
        /// A JSON Schema as text; nil for any object.
        var parameters: String?
        /// Arguments have to satisfy the schema even where the model is free to call or not.
        var isStrict = false
        /// The description, as it came.
        var document: Value
    }

    enum Choice: Sendable, Hashable {
        /// The model decides.
        case auto
        /// It has to call some function.
        case required
        /// It has to call this one.
        case named(String)
    }

    var functions: [Function]
    var choice: Choice
    var allowsSeveral: Bool
    var format: ToolFormat

    /// Most calls of one answer: models fall into repeating them.
    static let maximumCalls = 16

    /// Whether the answer has to be calls.
    var isForced: Bool { choice != .auto }

    var names: Set<String> { Set(functions.map(\.name)) }

    /// What answers are held to, beside the form that the request asks for itself; nil for nothing.
    func structure(_ requested: OutputStructure?) -> OutputStructure? {
        switch choice {
        case .named(let name): return format.calls(to: functions.filter { $0.name == name }, allowsSeveral: false)
        case .required: return format.calls(to: functions, allowsSeveral: allowsSeveral)
        case .auto:
            if let requested { return .anyOf([requested, format.calls(to: functions, allowsSeveral: allowsSeveral)]) }
            guard functions.contains(where: \.isStrict) else { return nil }
            return format.textOrCalls(to: functions, allowsSeveral: allowsSeveral)
        }
    }
}

extension RequestFields {
    /// `tools`, `tool_choice` and `parallel_tool_calls`; nil where no function may be called.
    ///
    /// - Parameter limit: how many functions there may be.
    mutating func toolUse(_ format: ToolFormat, limit: Int) throws(APIError) -> ToolUse? {
        let allowsSeveral = try bool("parallel_tool_calls") ?? true
        let choiceValue = take("tool_choice")
        guard let value = take("tools"), value.isPresent else {
            if let choiceValue, choiceValue.asString != "none", choiceValue.asString != "auto" {
                throw .value("tool_choice", "is only allowed when 'tools' are specified")
            }
            return nil
        }
        guard let elements = value.array else { throw .type("tools", expected: "an array of objects", got: value) }
        guard elements.count <= limit else { throw .value("tools", "may have \(limit) functions at most") }
        var functions: [ToolUse.Function] = []
        for (index, element) in elements.enumerated() {
            functions.append(try Self.function(element, "tools[\(index)]"))
        }
        guard Set(functions.map(\.name)).count == functions.count else {
            throw .value("tools", "must not have two functions of the same name")
        }
        guard let choice = try Self.choice(choiceValue, functions) else { return nil }
        return ToolUse(functions: functions, choice: choice, allowsSeveral: allowsSeveral, format: format)
    }

    private static func function(_ value: Value, _ path: String) throws(APIError) -> ToolUse.Function {
        guard case .dictionary(let object) = value else { throw .type(path, expected: "an object", got: value) }
        try requireFunction(object["type"], "\(path).type")
        guard case .dictionary(let function)? = object["function"] else { throw .missing("\(path).function") }
        guard let name = function["name"]?.asString else { throw .missing("\(path).function.name") }
        let isPlain = name.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
                || [0x2D, 0x2E, 0x5F].contains($0)
        }
        guard isPlain, (1...128).contains(name.utf8.count) else {
            throw .value("\(path).function.name", "must be 1 to 128 letters, digits, '_', '-' and '.'")
        }
        var schema: String?
        if let text = function["description"], !text.isNull, text.asString == nil {
            throw .type("\(path).function.description", expected: "a string", got: text)
        }
        if let parameters = function["parameters"], !parameters.isNull {
            guard case .dictionary(var members) = parameters else {
                throw .type("\(path).function.parameters", expected: "an object", got: parameters)
            }
            // Arguments are always an object.
            if members["type"] == nil { members.set(.string("type"), .string("object")) }
            schema = try? Value.dictionary(members).json()
        }
        var isStrict = false
        if let strict = function["strict"], !strict.isNull {
            guard case .bool(let flag) = strict else {
                throw .type("\(path).function.strict", expected: "a boolean", got: strict)
            }
            isStrict = flag
        }
        return ToolUse.Function(name: name, parameters: schema, isStrict: isStrict, document: value)
    }

    /// - Parameter type: the kind of a tool, which may be left out.
    static func requireFunction(_ type: Value?, _ path: String) throws(APIError) {
        guard let type, !type.isNull, type.asString != "function" else { return }
        throw .unsupported(path, "must be 'function'")
    }

    private static func choice(
        _ value: Value?, _ functions: [ToolUse.Function]
    ) throws(APIError) -> ToolUse.Choice? {
        guard let value else { return .auto }
        if let name = value.asString {
            switch name {
            case "none": return nil
            case "auto": return .auto
            case "required", "any": return .required
            default: throw .value("tool_choice", "must be 'none', 'auto', 'required' or an object")
            }
        }
        try requireFunction(value["type"], "tool_choice.type")
        guard let name = value["function"]?["name"]?.asString ?? value["name"]?.asString else {
            throw .value("tool_choice", "must be {\"type\": \"function\", \"function\": {\"name\": …}}")
        }
        guard functions.contains(where: { $0.name == name }) else {
            throw .value("tool_choice", "names '\(name)', which is not in 'tools'")
        }
        return .named(name)
    }
}
