extension Value {
    /// Writes Python's `repr(value)`.
    func represent(to writer: inout TextWriter) throws(JinjaError) {
        switch self {
        case .undefined: try writer.write("Undefined")
        case .null: try writer.write("None")
        case .bool(let value): try writer.write(value ? "True" : "False")
        case .int(let value): try writer.write(String(value))
        case .float(let value): try writer.write(value.pythonRepresentation)
        case .string(let text): try text.representQuoted(to: &writer)
        case .markup(let text):
            try writer.write("Markup(")
            try text.representQuoted(to: &writer)
            try writer.write(")")
        case .list(let list):
            try writer.write("[")
            try Self.represent(list.elements, to: &writer)
            try writer.write("]")
        case .tuple(let list):
            try writer.write("(")
            try Self.represent(list.elements, to: &writer)
            try writer.write(list.elements.count == 1 ? ",)" : ")")
        case .dictionary(let dictionary):
            try writer.write("{")
            try writer.enter()
            for index in 0..<dictionary.count {
                if index > 0 { try writer.write(", ") }
                try dictionary.keys[index].represent(to: &writer)
                try writer.write(": ")
                try dictionary.values[index].represent(to: &writer)
            }
            writer.leave()
            try writer.write("}")
        case .object(let object):
            try writer.enter()
            try object.represent(to: &writer)
            writer.leave()
        }
    }

    private static func represent(_ elements: [Value], to writer: inout TextWriter) throws(JinjaError) {
        try writer.enter()
        for (index, element) in elements.enumerated() {
            if index > 0 { try writer.write(", ") }
            try element.represent(to: &writer)
        }
        writer.leave()
    }
}

extension String {
    /// Python's `repr` of a string: single quotes unless only those occur in it, and escapes for what does not print.
    func representQuoted(to writer: inout TextWriter) throws(JinjaError) {
        let quote: Unicode.Scalar = utf8.contains(UInt8(ascii: "'")) && !utf8.contains(UInt8(ascii: "\"")) ? "\"" : "'"
        try writer.write(String(quote))
        try writer.write(self) { byte in
            byte < 0x20 || byte >= 0x7F || byte == UInt8(ascii: "\\") || UInt32(byte) == quote.value
        } escape: { scalar in
            switch scalar {
            case "\\", quote: return "\\\(scalar)"
            case "\n": return "\\n"
            case "\r": return "\\r"
            case "\t": return "\\t"
            default: break
            }
            return scalar.isPrintable ? nil : scalar.pythonEscape
        }
        try writer.write(String(quote))
    }
}

extension Unicode.Scalar {
    /// The scalar as `\xe9`, `\u20ac` or `\U0001f600`.
    var pythonEscape: String {
        let digits = String(value, radix: 16)
        let (mark, width) = value < 0x100 ? ("x", 2) : value < 0x10000 ? ("u", 4) : ("U", 8)
        return "\\" + mark + String(repeating: "0", count: width - digits.utf8.count) + digits
    }

    /// Python's `str.isprintable` for one scalar.
    var isPrintable: Bool {
        if isASCII { return (0x20..<0x7F).contains(value) }
        return switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        case .spaceSeparator: self == " "
        default: true
        }
    }
}

extension Double {
    /// Python's `repr(float)`: the shortest digits that read back as the same number, with an exponent outside 1e-4 …
    /// 1e16.
    var pythonRepresentation: String {
        if isNaN { return "nan" }
        if isInfinite { return self < 0 ? "-inf" : "inf" }
        // Swift prints the same shortest digits; only the places where it switches to an exponent may differ.
        var text = magnitude.description
        var exponent = 0
        if let mark = text.firstIndex(of: "e") {
            exponent = Int(text[text.index(after: mark)...]) ?? 0
            text = String(text[..<mark])
        }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let whole = parts[0]
        let fraction = parts.count > 1 && parts[1] != "0" ? parts[1] : ""
        var digits = String(whole + fraction)
        /// Position of the decimal point, counted from the first digit.
        var point = whole.count + exponent
        while digits.hasPrefix("0"), digits.count > 1 {
            digits.removeFirst()
            point -= 1
        }
        while digits.hasSuffix("0"), digits.count > 1 { digits.removeLast() }
        if digits == "0" { point = 1 }
        let sign = self.sign == .minus ? "-" : ""
        if point > 16 || point < -3 {
            let power = point - 1
            let mantissa = digits.count == 1 ? digits : "\(digits.prefix(1)).\(digits.dropFirst())"
            let padding = abs(power) < 10 ? "0" : ""
            return "\(sign)\(mantissa)e\(power < 0 ? "-" : "+")\(padding)\(abs(power))"
        }
        if point <= 0 { return "\(sign)0." + String(repeating: "0", count: -point) + digits }
        if point >= digits.count {
            return sign + digits + String(repeating: "0", count: point - digits.count) + ".0"
        }
        return "\(sign)\(digits.prefix(point)).\(digits.dropFirst(point))"
    }
}
