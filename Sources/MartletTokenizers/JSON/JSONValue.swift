/// A small JSON document. Strings are bytes (UTF-8): see `JSONReader`.
enum JSONValue: Sendable {
    case null
    case bool(Bool)
    case number(Double)
    case string([UInt8])
    case array([JSONValue])
    case object([String: JSONValue])

    subscript(_ key: String) -> JSONValue {
        if case .object(let members) = self { members[key] ?? .null } else { .null }
    }

    var isNull: Bool { if case .null = self { true } else { false } }

    var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

    var bytes: [UInt8]? { if case .string(let value) = self { value } else { nil } }

    var text: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }

    var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }

    var integer: Int? {
        if case .number(let value) = self { Int(exactly: value) } else { nil }
    }
}
