package import MartletJinja

// JSON documents of the API are `Value`s: the order of keys is kept, and messages go to the chat template as they came.
extension Value {
    package init(_ text: String?) { self = text.map(Value.string) ?? .null }

    package init(_ value: Float) { self = .float(Double(value)) }

    package subscript(_ key: String) -> Value? {
        if case .dictionary(let members) = self { members[key] } else { nil }
    }

    package var array: [Value]? {
        if case .list(let list) = self { list.elements } else { nil }
    }

    /// The number, if it is one without a fraction. Python and JavaScript write some integers as 1.0.
    package var integer: Int? {
        switch self {
        case .int(let value): value
        case .float(let value): Int(exactly: value)
        default: nil
        }
    }

    /// As JSON on a line of a stream. Clients find the ends of lines by what Python's `splitlines` takes for them (httpx).
    var line: String { (try? json(escapesLineEnds: true)) ?? "{}" }

    /// As error messages call it.
    var jsonTypeName: String {
        switch self {
        case .undefined, .null: "null"
        case .bool: "a boolean"
        case .int: "an integer"
        case .float(let value): value.isFinite ? "a decimal number" : "a number that is not finite"
        case .string, .markup: "a string"
        case .list, .tuple: "an array"
        case .dictionary: "an object"
        case .object: "an integer that is too large"
        }
    }
}
