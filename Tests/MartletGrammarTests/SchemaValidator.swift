import Foundation
import MartletJinja

/// Says whether a value satisfies a schema, straight from the specification's words: slow, and nothing of what compiles
/// schemas is used. Keywords that the tests' schemas don't have are not there.
struct SchemaValidator {
    let root: Value

    func accepts(_ value: Value) -> Bool { accepts(value, root) }

    private func accepts(_ value: Value, _ schema: Value) -> Bool {
        if case .bool(let flag) = schema { return flag }
        guard case .dictionary(let keywords) = schema else { return false }
        return zip(keywords.keys, keywords.values).allSatisfy { key, argument in
            holds(key.asString ?? "", argument, value, keywords)
        }
    }

    private func holds(_ keyword: String, _ argument: Value, _ value: Value, _ schema: ValueDictionary) -> Bool {
        switch keyword {
        case "$ref": return accepts(value, resolve(argument.asString ?? ""))
        case "type": return list(argument).contains { Self.has(value, type: $0.asString ?? "") }
        case "enum": return list(argument).contains { equal($0, value) }
        case "const": return equal(argument, value)
        case "allOf": return list(argument).allSatisfy { accepts(value, $0) }
        case "anyOf": return list(argument).contains { accepts(value, $0) }
        case "oneOf": return list(argument).count { accepts(value, $0) } == 1
        case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf":
            guard let given = number(value), let bound = number(argument) else { return true }
            switch keyword {
            case "minimum": return given >= bound
            case "maximum": return given <= bound
            case "exclusiveMinimum": return given > bound
            case "exclusiveMaximum": return given < bound
            default: return given.truncatingRemainder(dividingBy: bound) == 0
            }
        case "minLength", "maxLength", "pattern":
            guard let text = value.asString else { return true }
            let count = Double(text.unicodeScalars.count)
            if keyword == "minLength" { return count >= number(argument) ?? 0 }
            if keyword == "maxLength" { return count <= number(argument) ?? 0 }
            guard let regex = try? NSRegularExpression(pattern: argument.asString ?? "") else { return false }
            return regex.firstMatch(in: text, range: NSRange(location: 0, length: text.utf16.count)) != nil
        case "items", "prefixItems", "minItems", "maxItems":
            guard case .list(let elements) = value else { return true }
            let prefix = list(schema["prefixItems"] ?? .list([]))
            switch keyword {
            case "minItems": return Double(elements.elements.count) >= number(argument) ?? 0
            case "maxItems": return Double(elements.elements.count) <= number(argument) ?? 0
            case "items": return elements.elements.dropFirst(prefix.count).allSatisfy { accepts($0, argument) }
            default: return zip(elements.elements, prefix).allSatisfy { accepts($0, $1) }
            }
        case "required":
            guard case .dictionary(let members) = value else { return true }
            return list(argument).allSatisfy { members[$0.asString ?? ""] != nil }
        case "properties", "patternProperties", "additionalProperties", "propertyNames", "minProperties",
            "maxProperties":
            guard case .dictionary(let members) = value else { return true }
            return holds(keyword, argument, members, schema)
        default: return true
        }
    }

    private func holds(
        _ keyword: String, _ argument: Value, _ members: ValueDictionary, _ schema: ValueDictionary
    ) -> Bool {
        let all = zip(members.keys.map { $0.asString ?? "" }, members.values)
        func listed(_ name: String) -> Bool {
            guard case .dictionary(let properties)? = schema["properties"] else { return false }
            return properties[name] != nil
        }
        func patterns(_ name: String) -> [Value] {
            guard case .dictionary(let patterns)? = schema["patternProperties"] else { return [] }
            return zip(patterns.keys, patterns.values)
                .filter { name.range(of: $0.0.asString ?? "", options: .regularExpression) != nil }.map(\.1)
        }
        switch keyword {
        case "properties":
            guard case .dictionary(let properties) = argument else { return false }
            return all.allSatisfy { name, value in properties[name].map { accepts(value, $0) } ?? true }
        case "patternProperties":
            return all.allSatisfy { name, value in patterns(name).allSatisfy { accepts(value, $0) } }
        case "additionalProperties":
            return all.allSatisfy { listed($0) || !patterns($0).isEmpty || accepts($1, argument) }
        case "propertyNames": return all.allSatisfy { name, _ in accepts(.string(name), argument) }
        case "minProperties": return Double(members.count) >= number(argument) ?? 0
        default: return Double(members.count) <= number(argument) ?? 0
        }
    }

    private func resolve(_ reference: String) -> Value {
        reference.split(separator: "/").dropFirst().reduce(root) { value, name in
            if case .dictionary(let members) = value { members[String(name)] ?? .bool(false) } else { .bool(false) }
        }
    }

    private func list(_ value: Value) -> [Value] {
        if case .list(let list) = value { list.elements } else { [value] }
    }

    private func number(_ value: Value) -> Double? {
        switch value {
        case .int(let number): Double(number)
        case .float(let number): number
        default: nil
        }
    }

    private static func has(_ value: Value, type: String) -> Bool {
        switch (value, type) {
        case (.null, "null"), (.bool, "boolean"), (.string, "string"), (.list, "array"), (.dictionary, "object"): true
        case (.int, "integer"), (.int, "number"), (.float, "number"): true
        case (.float(let number), "integer"): number == number.rounded()
        default: false
        }
    }

    private func equal(_ left: Value, _ right: Value) -> Bool {
        if let a = number(left), let b = number(right) { return a == b }
        return (try? left.json()) == (try? right.json())
    }
}
