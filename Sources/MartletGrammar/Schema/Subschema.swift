import MartletJinja

/// A part of a JSON Schema, and where it stands.
struct Subschema {
    let value: Value
    /// A JSON pointer, for messages.
    let path: String

    private static let longestPath = 256

    /// What it says by these keywords and names. Where names are long, what the path begins with is left out: there may be many
    /// parts, and a name may have a megabyte.
    func part(_ value: Value, _ names: String...) -> Subschema {
        func end(_ text: String, _ length: Int) -> String {
            text.utf8.count > length ? "…" + String(decoding: text.utf8.suffix(length), as: UTF8.self) : text
        }
        let names = names.map { end($0, 64) }.joined(separator: "/")
        return Subschema(value: value, path: end(end(path, Self.longestPath) + "/" + names, Self.longestPath))
    }

    static let anything = Subschema(value: .bool(true), path: "#")

    /// Whether it says nothing.
    var isTrivial: Bool {
        switch value {
        case .bool(let flag): flag
        case .dictionary(let members): members.keys.allSatisfy { Self.annotations.contains($0.asString ?? "") }
        default: false
        }
    }

    /// The reference, where there is nothing else.
    var reference: String? {
        guard case .dictionary(let members) = value, let reference = members["$ref"]?.asString else { return nil }
        let others = members.keys.allSatisfy { $0.asString == "$ref" || Self.annotations.contains($0.asString ?? "") }
        return others ? reference : nil
    }

    /// Keywords that do not change what satisfies a schema.
    static let annotations: Set<String> = [
        "title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly", "$comment",
        "$schema",
        "id", "$defs", "definitions", "contentMediaType", "contentEncoding", "discriminator", "$vocabulary",
    ]

    static func isAnnotation(_ keyword: String) -> Bool { annotations.contains(keyword) || keyword.hasPrefix("x-") }
}

/// Types of JSON values. Integers are numbers; see `SchemaConstraints.integersOnly`.
enum JSONType: String, CaseIterable, Hashable {
    case null, boolean, number, string, array, object

    init?(_ value: Value) {
        switch value {
        case .null: self = .null
        case .bool: self = .boolean
        case .int, .float: self = .number
        case .string: self = .string
        case .list: self = .array
        case .dictionary: self = .object
        default: self = .number
        }
    }
}

extension Value {
    /// The schema that nothing satisfies.
    var isFalse: Bool { if case .bool(false) = self { true } else { false } }

    /// Itself, and its elements or members.
    var entryCount: Int {
        switch self {
        case .list(let list): 1 + list.elements.count
        case .dictionary(let members): 1 + members.keys.count
        default: 1
        }
    }
}
