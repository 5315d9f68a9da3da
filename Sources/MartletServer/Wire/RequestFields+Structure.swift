import Martlet
import MartletGrammar
import MartletJinja

/// The form that a request asks its answers to have.
struct RequestedStructure: Hashable {
    var structure: OutputStructure
    /// The field that asked for it.
    var field: String
}

extension RequestFields {
    /// `response_format` of OpenAI's API, and vLLM's `structured_outputs` and `guided_…`: one of them at most.
    ///
    /// - Throws: 400, also for one that is larger than the limit.
    mutating func structure(_ limits: ServerLimits) throws(APIError) -> RequestedStructure? {
        var found: [RequestedStructure] = []
        if let format = take("response_format"), let structure = try Self.responseFormat(format) {
            found.append(.init(structure: structure, field: "response_format"))
        }
        if let value = take("structured_outputs") {
            found.append(.init(structure: try Self.structuredOutputs(value), field: "structured_outputs"))
        }
        let fields = ["json", "regex", "choice", "grammar"].map { ($0, "guided_\($0)") }
        // The last two are llama.cpp's.
        for (name, field) in fields + [("json", "json_schema"), ("grammar", "grammar")] {
            guard let value = take(field) else { continue }
            found.append(.init(structure: try Self.structure(name, value, field), field: field))
        }
        if found.count > 1 {
            throw .value(found[1].field, "must not be there together with '\(found[0].field)'")
        }
        if let found = found.first, found.structure.sourceBytes > limits.structureBytes {
            throw .value(found.field, "has more than \(limits.structureBytes) bytes")
        }
        return found.first
    }

    private static func responseFormat(_ format: Value) throws(APIError) -> OutputStructure? {
        guard case .dictionary(let object) = format else {
            throw .type("response_format", expected: "an object", got: format)
        }
        guard let type = object["type"]?.asString else {
            throw .type("response_format.type", expected: "a string", got: object["type"] ?? .null)
        }
        switch type {
        case "text":
            try check(object, has: nil)
            return nil
        case "json_object":
            try check(object, has: "schema")
            // llama.cpp's spelling.
            if let schema = object["schema"], schema.isPresent {
                return try jsonSchema(schema, "response_format.schema")
            }
            return .json
        case "json_schema":
            try check(object, has: "json_schema")
            guard let description = object["json_schema"] else { throw .missing("response_format.json_schema") }
            guard case .dictionary(let members) = description else {
                throw .type("response_format.json_schema", expected: "an object", got: description)
            }
            for key in members.keys
            where !["name", "description", "schema", "strict"].contains(key.asString ?? "") {
                throw .unsupported("response_format.json_schema.\(key.asString ?? "")")
            }
            for name in ["name", "description"] {
                if let text = members[name], !text.isNull, text.asString == nil {
                    throw .type("response_format.json_schema.\(name)", expected: "a string", got: text)
                }
            }
            if let strict = members["strict"], !strict.isNull {
                guard case .bool = strict else {
                    throw .type("response_format.json_schema.strict", expected: "a boolean", got: strict)
                }
            }
            guard let schema = members["schema"], schema.isPresent else {
                throw .missing("response_format.json_schema.schema")
            }
            return try jsonSchema(schema, "response_format.json_schema.schema")
        default:
            throw .unsupported("response_format.type", "must be 'text', 'json_object' or 'json_schema', not '\(type)'")
        }
    }

    /// Refuses by name what a format of its type does not have: a schema would be ignored that somebody counts on.
    private static func check(_ format: ValueDictionary, has field: String?) throws(APIError) {
        for (key, value) in zip(format.keys, format.values) {
            let name = key.asString ?? ""
            if name == "type" || name == field { continue }
            guard !value.isPresent, ["schema", "json_schema"].contains(name) else {
                throw .unsupported("response_format.\(name)")
            }
        }
    }

    private static func structuredOutputs(_ value: Value) throws(APIError) -> OutputStructure {
        guard case .dictionary(let object) = value else {
            throw .type("structured_outputs", expected: "an object", got: value)
        }
        let present = zip(object.keys, object.values).filter { $1.isPresent }
        guard present.count == 1, let (key, value) = present.first, let name = key.asString else {
            throw .value(
                "structured_outputs", "must have one of 'json', 'json_object', 'regex', 'choice' and 'grammar'")
        }
        return try structure(name, value, "structured_outputs.\(name)")
    }

    private static func structure(_ name: String, _ value: Value, _ field: String) throws(APIError) -> OutputStructure {
        switch name {
        case "json": return try jsonSchema(value, field)
        case "json_object":
            guard case .bool(true) = value else { throw .value(field, "must be true") }
            return .json
        case "choice":
            guard let elements = value.array else { throw .type(field, expected: "an array of strings", got: value) }
            var texts: [String] = []
            for element in elements {
                guard let text = element.asString else {
                    throw .type(field, expected: "an array of strings", got: element)
                }
                texts.append(text)
            }
            return .choice(texts)
        case "regex", "grammar":
            guard let text = value.asString else { throw .type(field, expected: "a string", got: value) }
            return name == "regex" ? .regex(text) : .grammar(text)
        default: throw .unsupported(field)
        }
    }

    /// A schema as it is, or as text.
    static func jsonSchema(_ value: Value, _ field: String) throws(APIError) -> OutputStructure {
        switch value {
        case .string(let text): return .jsonSchema(text)
        case .dictionary, .bool:
            guard let text = try? value.json() else { throw .value(field, "is too large") }
            return .jsonSchema(text)
        default: throw .type(field, expected: "a JSON Schema", got: value)
        }
    }
}

extension OutputStructure {
    /// What a request spells out of it.
    fileprivate var sourceBytes: Int {
        switch self {
        case .json: 0
        case .jsonSchema(let text), .regex(let text), .grammar(let text), .textWithout(let text): text.utf8.count
        case .choice(let texts): texts.reduce(0) { $0 + $1.utf8.count }
        case .sequence(let parts), .anyOf(let parts): parts.reduce(0) { $0 + $1.sourceBytes }
        case .list(let part, let separator, _, _): part.sourceBytes + separator.utf8.count
        }
    }
}
