package import MartletJinja

/// A value that a chat template reads, such as a tool's description: whatever JSON can say, with the keys of objects in order.
///
///     let arguments: [String: TemplateValue] = ["enable_thinking": false]
///     let tool = try TemplateValue(json: #"{"type": "function", "function": {"name": "now", "parameters": {}}}"#)
public struct TemplateValue: Sendable {
    package let value: MartletJinja.Value

    package init(_ value: MartletJinja.Value) { self.value = value }

    /// - Throws: `EngineError` for text that is not one JSON document.
    public init(json: String) throws(EngineError) {
        do {
            value = try MartletJinja.Value(json: json)
        } catch {
            throw EngineError(.invalidParameter, error.description)
        }
    }

    /// The members of a JSON object.
    ///
    /// - Throws: `EngineError` for text that is not one JSON object.
    public static func members(json: String) throws(EngineError) -> [String: TemplateValue] {
        guard case .dictionary(let dictionary) = try TemplateValue(json: json).value else {
            throw EngineError(.invalidParameter, "not a JSON object")
        }
        var members: [String: TemplateValue] = [:]
        for case (.string(let key), let value) in zip(dictionary.keys, dictionary.values) {
            members[key] = TemplateValue(value)
        }
        return members
    }
}

extension TemplateValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringInterpolation
{
    public init(nilLiteral: ()) { value = .null }
    public init(booleanLiteral: Bool) { value = .bool(booleanLiteral) }
    public init(integerLiteral: Int) { value = .int(integerLiteral) }
    public init(floatLiteral: Double) { value = .float(floatLiteral) }
    public init(stringLiteral: String) { value = .string(stringLiteral) }
}

extension TemplateValue: ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral {
    public init(arrayLiteral elements: TemplateValue...) { value = .list(elements.map(\.value)) }

    public init(dictionaryLiteral elements: (String, TemplateValue)...) {
        value = .dictionary(elements.map { ($0, $1.value) })
    }
}
