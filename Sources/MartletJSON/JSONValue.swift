/// A small JSON document. Strings are bytes (UTF-8): see `JSONReader`.
package enum JSONValue: Sendable {
    case null
    case bool(Bool)
    case number(Double)
    case string([UInt8])
    case array([JSONValue])
    case object([String: JSONValue])

    package subscript(_ key: String) -> JSONValue {
        if case .object(let members) = self { members[key] ?? .null } else { .null }
    }

    package var isNull: Bool { if case .null = self { true } else { false } }

    package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

    package var bytes: [UInt8]? { if case .string(let value) = self { value } else { nil } }

    package var text: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }

    package var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }

    package var integer: Int? {
        if case .number(let value) = self { Int(exactly: value) } else { nil }
    }

    package var number: Double? { if case .number(let value) = self { value } else { nil } }

    /// What the value is, for errors: "a string".
    package var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

extension JSONValue {
    /// A whole document.
    ///
    /// - Throws: `JSONError` where it is not JSON, or nested deeper than 64 levels.
    package init(parsing bytes: [UInt8]) throws(JSONError) {
        var reader = try JSONReader(bytes)
        self = try reader.value()
        try reader.end()
    }
}
