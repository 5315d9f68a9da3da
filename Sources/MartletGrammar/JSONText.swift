import MartletJinja

/// JSON as Martlet writes it where a text is given: without spaces, and with no escape that isn't needed.
enum JSONText {
    /// How a scalar is spelled in a string.
    static func spelling(of scalar: Unicode.Scalar) -> String {
        switch scalar {
        case "\"": return "\\\""
        case "\\": return "\\\\"
        case "\u{8}": return "\\b"
        case "\u{C}": return "\\f"
        case "\n": return "\\n"
        case "\r": return "\\r"
        case "\t": return "\\t"
        case "\u{0}"..."\u{1F}":
            let digits = String(scalar.value, radix: 16)
            return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: return String(scalar)
        }
    }

    static func string(_ text: String) -> String {
        "\"" + text.unicodeScalars.map(spelling).joined() + "\""
    }

    /// Charges the builder with the work.
    static func text(_ value: Value, _ builder: inout AutomatonBuilder) throws(GrammarError) -> String {
        let text = try self.text(value)
        try builder.charge(1 + text.utf8.count / 64)
        return text
    }

    /// What equal values have in common, and no others: members sorted by their names, numbers by their digits.
    static func key(_ value: Value, _ builder: inout AutomatonBuilder) throws(GrammarError) -> ExactString {
        let text = try canonical(value)
        try builder.charge(1 + text.utf8.count / 64)
        return ExactString(text)
    }

    private static func canonical(_ value: Value) throws(GrammarError) -> String {
        switch value {
        case .list(let list):
            var parts: [String] = []
            for element in list.elements { parts.append(try canonical(element)) }
            return "[" + parts.joined(separator: ",") + "]"
        case .dictionary(let members):
            var parts: [(name: String, value: String)] = []
            for (key, value) in zip(members.keys, members.values) {
                parts.append((string(key.asString ?? ""), try canonical(value)))
            }
            parts.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
            return "{" + parts.map { $0.name + ":" + $0.value }.joined(separator: ",") + "}"
        default:
            if let number = Decimal(value) { return number.text }
            return try text(value)
        }
    }

    /// - Throws: `malformed` for what JSON can't say: numbers that are not finite.
    static func text(_ value: Value) throws(GrammarError) -> String {
        switch value {
        case .null: return "null"
        case .bool(let flag): return flag ? "true" : "false"
        case .int(let number): return String(number)
        case .float(let number):
            guard number.isFinite else { throw .malformed("a number is not finite") }
            if let integer = Int(exactly: number) { return String(integer) }
            return "\(number)"
        case .string(let text): return string(text)
        case .list(let list):
            var parts: [String] = []
            for element in list.elements { parts.append(try self.text(element)) }
            return "[" + parts.joined(separator: ",") + "]"
        case .dictionary(let members):
            var parts: [String] = []
            for (key, value) in zip(members.keys, members.values) {
                parts.append(string(key.asString ?? "") + ":" + (try self.text(value)))
            }
            return "{" + parts.joined(separator: ",") + "}"
        default:
            // An integer of more than 64 bits.
            guard let text = try? value.json() else { throw .malformed("a value is not JSON") }
            return text
        }
    }
}
