/// `json.dumps` of Python's standard library, byte for byte: chat models were trained on its spacing.
struct JSONWriter {
    var ensureASCII = false
    /// What JSON allows in strings and some readers take for the end of a line.
    var escapesLineEnds = false
    /// Text of one level of indentation; nil writes everything on one line.
    var indentation: String?
    var itemSeparator = ", "
    var keySeparator = ": "
    var sortKeys = false

    func write(_ value: Value, to writer: inout TextWriter, level: Int = 0) throws(JinjaError) {
        switch value {
        case .null: try writer.write("null")
        case .bool(let value): try writer.write(value ? "true" : "false")
        case .int(let value): try writer.write(String(value))
        case .float(let value): try writer.write(number(value))
        case .string(let text), .markup(let text): try write(text, to: &writer)
        case .list(let list), .tuple(let list): try write(list.elements, to: &writer, level: level)
        case .dictionary(let dictionary): try write(dictionary, to: &writer, level: level)
        case .object(let object as LargeInteger): try writer.write(object.digits)
        case .undefined, .object:
            throw JinjaError(.invalidOperation, "Object of type \(value.typeName) is not JSON serializable")
        }
    }

    private func write(_ elements: [Value], to writer: inout TextWriter, level: Int) throws(JinjaError) {
        guard !elements.isEmpty else { return try writer.write("[]") }
        try writer.write("[")
        for (index, element) in elements.enumerated() {
            if index > 0 { try writer.write(itemSeparator) }
            try newLine(level + 1, to: &writer)
            try write(element, to: &writer, level: level + 1)
        }
        try newLine(level, to: &writer)
        try writer.write("]")
    }

    private func write(_ dictionary: ValueDictionary, to writer: inout TextWriter, level: Int) throws(JinjaError) {
        guard dictionary.count > 0 else { return try writer.write("{}") }
        var order = Array(0..<dictionary.count)
        if sortKeys {
            for pair in zip(dictionary.keys, dictionary.keys.dropFirst()) where pair.0.isLess(than: pair.1) == nil {
                throw JinjaError(.invalidOperation, "keys of different types cannot be sorted")
            }
            order.sort { dictionary.keys[$0].isLess(than: dictionary.keys[$1]) ?? false }
        }
        try writer.write("{")
        for (count, index) in order.enumerated() {
            if count > 0 { try writer.write(itemSeparator) }
            try newLine(level + 1, to: &writer)
            try write(key(dictionary.keys[index]), to: &writer)
            try writer.write(keySeparator)
            try write(dictionary.values[index], to: &writer, level: level + 1)
        }
        try newLine(level, to: &writer)
        try writer.write("}")
    }

    private func newLine(_ level: Int, to writer: inout TextWriter) throws(JinjaError) {
        guard let indentation else { return }
        try writer.write("\n")
        for _ in 0..<level { try writer.write(indentation) }
    }

    private func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
        return value.pythonRepresentation
    }

    private func key(_ key: Value) throws(JinjaError) -> String {
        switch key {
        case .string(let text), .markup(let text): return text
        case .null: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .int(let value): return String(value)
        case .float(let value): return number(value)
        default:
            throw JinjaError(
                .invalidOperation, "keys must be str, int, float, bool or None, not \(key.typeName)")
        }
    }

    private func write(_ text: String, to writer: inout TextWriter) throws(JinjaError) {
        try writer.write("\"")
        // Runs that need no escape are copied whole: most text is one run.
        try writer.write(text) { byte in
            byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || ensureASCII && byte >= 0x7F
                || escapesLineEnds && (byte == 0xC2 || byte == 0xE2)
        } escape: { scalar in
            escape(for: scalar)
        }
        try writer.write("\"")
    }

    private func escape(for scalar: Unicode.Scalar) -> String? {
        switch scalar.value {
        case 0x22: return "\\\""
        case 0x5C: return "\\\\"
        case 0x0A: return "\\n"
        case 0x0D: return "\\r"
        case 0x09: return "\\t"
        case 0x08: return "\\b"
        case 0x0C: return "\\f"
        case 0..<0x20: return Self.unicodeEscape(UInt16(scalar.value))
        case 0x85 where escapesLineEnds, 0x2028 where escapesLineEnds, 0x2029 where escapesLineEnds:
            return Self.unicodeEscape(UInt16(scalar.value))
        case 0x7F... where ensureASCII: return scalar.utf16.map(Self.unicodeEscape).joined()
        default: return nil
        }
    }

    private static func unicodeEscape(_ unit: UInt16) -> String {
        let digits = String(unit, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
    }
}
