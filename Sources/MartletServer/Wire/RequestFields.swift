package import MartletJinja

/// The members of a request's JSON object. Each is taken once, by name and type; what is left in the end is unknown.
///
/// `null` counts as absent, as in OpenAI's API.
package struct RequestFields {
    private let object: ValueDictionary
    private var taken: Set<String> = []

    /// - Throws: 400 if the document is no object.
    package init(_ document: Value) throws(APIError) {
        guard case .dictionary(let object) = document else {
            throw APIError(400, "The body must be a JSON object, but is \(document.jsonTypeName).")
        }
        self.object = object
    }

    /// Names that nobody took, in the order of the document.
    package var remaining: [String] { rest.map(\.0) }

    /// What nobody took.
    var rest: [(String, Value)] {
        zip(object.keys, object.values).compactMap { key, value in
            let name = key.asString ?? ""
            return value.isNull || taken.contains(name) ? nil : (name, value)
        }
    }

    package mutating func take(_ name: String) -> Value? {
        guard let value = object[name], !value.isNull, taken.insert(name).inserted else { return nil }
        return value
    }

    mutating func string(_ name: String) throws(APIError) -> String? {
        guard let value = take(name) else { return nil }
        guard let text = value.asString else { throw .type(name, expected: "a string", got: value) }
        return text
    }

    mutating func bool(_ name: String) throws(APIError) -> Bool? {
        guard let value = take(name) else { return nil }
        guard case .bool(let flag) = value else { throw .type(name, expected: "a boolean", got: value) }
        return flag
    }

    mutating func integer(_ name: String) throws(APIError) -> Int? {
        guard let value = take(name) else { return nil }
        guard let number = value.integer else { throw .type(name, expected: "an integer", got: value) }
        return number
    }

    mutating func number(_ name: String) throws(APIError) -> Float? {
        guard let value = take(name) else { return nil }
        return try Self.number(value, name)
    }

    static func number(_ value: Value, _ name: String) throws(APIError) -> Float {
        switch value {
        case .int(let number): return Float(number)
        // Beyond the range of Float is infinite there, which no field admits.
        case .float(let number) where Float(number).isFinite:
            let nearest = Float(number)
            // Ranges end at whole numbers: what is off one, however little, stays off it.
            guard nearest == nearest.rounded(), Double(nearest) != number else { return nearest }
            return Double(nearest) < number ? nearest.nextUp : nearest.nextDown
        default: throw .type(name, expected: "a decimal number", got: value)
        }
    }

    mutating func object(_ name: String) throws(APIError) -> ValueDictionary? {
        guard let value = take(name) else { return nil }
        guard case .dictionary(let object) = value else { throw .type(name, expected: "an object", got: value) }
        return object
    }

    /// A string, or a list of strings.
    mutating func strings(_ name: String) throws(APIError) -> [String]? {
        guard let value = take(name) else { return nil }
        if let text = value.asString { return [text] }
        guard let elements = value.array else {
            throw .type(name, expected: "a string or an array of strings", got: value)
        }
        var strings: [String] = []
        for (index, element) in elements.enumerated() {
            guard let text = element.asString else {
                throw .type("\(name)[\(index)]", expected: "a string", got: element)
            }
            strings.append(text)
        }
        return strings
    }

    mutating func integers(_ name: String) throws(APIError) -> [Int]? {
        guard let value = take(name) else { return nil }
        guard let elements = value.array else { throw .type(name, expected: "an array of integers", got: value) }
        return try Self.integers(elements, name)
    }

    static func integers(_ elements: [Value], _ name: String) throws(APIError) -> [Int] {
        var integers: [Int] = []
        integers.reserveCapacity(elements.count)
        for (index, element) in elements.enumerated() {
            guard let number = element.integer else {
                throw .type("\(name)[\(index)]", expected: "an integer", got: element)
            }
            integers.append(number)
        }
        return integers
    }

    /// A text as requests give it.
    enum Text: Sendable {
        case text(String)
        case tokens([Int])
    }

    /// A string, a list of strings, a list of tokens, or a list of lists of tokens.
    ///
    /// - Parameter limit: how many texts there may be.
    mutating func texts(_ name: String, limit: Int) throws(APIError) -> [Text] {
        guard let value = take(name) else { throw .missing(name) }
        if let text = value.asString { return [.text(text)] }
        guard let elements = value.array else {
            throw .type(name, expected: "a string, an array of strings, or an array of tokens", got: value)
        }
        guard let first = elements.first else { throw .value(name, "must not be empty") }
        if first.integer != nil { return [.tokens(try Self.integers(elements, name))] }
        guard elements.count <= limit else { throw .value(name, "may have \(limit) elements at most") }
        var texts: [Text] = []
        for (index, element) in elements.enumerated() {
            let path = "\(name)[\(index)]"
            if let text = element.asString {
                texts.append(.text(text))
            } else if let tokens = element.array {
                texts.append(.tokens(try Self.integers(tokens, path)))
            } else {
                throw .type(path, expected: "a string or an array of tokens", got: element)
            }
        }
        return texts
    }
}
