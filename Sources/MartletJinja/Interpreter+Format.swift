import Foundation

/// A conversion of `%` formatting, or a format specification of `str.format`:
/// `[[fill]align][sign][#][0][width][,][.precision][type]`.
struct FormatSpecification {
    var fill: Unicode.Scalar = " "
    /// "<", ">", "^" or "=" (padding behind the sign); nil for the default of the type.
    var alignment: Unicode.Scalar?
    /// "+" or " " in front of positive numbers.
    var sign: Unicode.Scalar?
    var isAlternate = false
    var width = 0
    var groupSeparator: Unicode.Scalar?
    var precision: Int?
    var type: Unicode.Scalar?

    /// Longer numbers and paddings have no use in a prompt.
    static let maxWidth = 10_000
    static let maxPrecision = 300
}

extension Interpreter {
    // MARK: The % operator

    /// Python's `format % arguments`.
    func percentFormat(_ format: String, _ arguments: Value) throws(JinjaError) -> String {
        try charge(format.utf8.count)
        var positional: [Value] = [arguments]
        if case .tuple(let list) = arguments { positional = list.elements }
        var used = 0
        func nextArgument() throws(JinjaError) -> Value {
            guard used < positional.count else { throw fail("not enough arguments for format string") }
            defer { used += 1 }
            return positional[used]
        }
        var reader = ScalarReader(format)
        var result = ""
        var usesNames = false
        while let scalar = reader.next() {
            guard scalar == "%" else {
                result.unicodeScalars.append(scalar)
                continue
            }
            var named: Value?
            if reader.skip("(") {
                guard let name = reader.read(until: ")") else { throw fail("incomplete format key") }
                guard case .dictionary(let dictionary) = arguments else { throw fail("format requires a mapping") }
                guard let value = dictionary[name] else { throw fail("KeyError: '\(name)'") }
                named = value
                usesNames = true
            }
            var specification = FormatSpecification()
            flags: while let flag = reader.current {
                switch flag {
                case "-": specification.alignment = "<"
                case "+": specification.sign = "+"
                case " ": specification.sign = specification.sign ?? " "
                case "0": specification.fill = "0"
                case "#": specification.isAlternate = true
                default: break flags
                }
                _ = reader.next()
            }
            if specification.alignment == "<" { specification.fill = " " }
            if reader.skip("*") {
                specification.width = try requireInteger(try nextArgument(), "the width")
                if specification.width < 0 {
                    specification.alignment = "<"
                    specification.width = specification.width == .min ? .max : -specification.width
                }
            } else {
                specification.width = reader.readInteger() ?? 0
            }
            if reader.skip(".") {
                specification.precision =
                    reader.skip("*")
                    ? max(0, try requireInteger(try nextArgument(), "the precision")) : reader.readInteger() ?? 0
            }
            if let modifier = reader.current, "hlL".unicodeScalars.contains(modifier) { _ = reader.next() }
            guard let type = reader.next() else { throw fail("incomplete format") }
            if type == "%" {
                result += "%"
                continue
            }
            let argument: Value = if let named { named } else { try nextArgument() }
            result += try percentConvert(argument, type, specification)
            try checkStringBytes(result.utf8.count)
        }
        if !usesNames, used < positional.count {
            switch arguments {
            case .dictionary, .list: break
            default: throw fail("not all arguments converted during string formatting")
            }
        }
        return result
    }

    private func percentConvert(
        _ value: Value, _ type: Unicode.Scalar, _ specification: FormatSpecification
    ) throws(JinjaError) -> String {
        var specification = specification
        switch type {
        case "s", "r", "a":
            var text =
                switch type {
                case "s": try text(value)
                case "r": try representation(value)
                default: try asciiRepresentation(value)
                }
            if let precision = specification.precision { text = text.scalarSlice(Slice(start: 0, stop: precision)) }
            specification.fill = " "
            specification.alignment = specification.alignment ?? ">"
            return try padded(text, specification)
        case "c":
            specification.alignment = specification.alignment ?? ">"
            specification.fill = " "
            if case .string(let text) = value, text.unicodeScalars.count == 1 { return try padded(text, specification) }
            guard let code = value.asInteger, let scalar = UInt32(exactly: code).flatMap(Unicode.Scalar.init) else {
                throw fail("%c requires int or char")
            }
            return try padded(String(scalar), specification)
        case "d", "i", "u", "x", "X", "o":
            guard value.asDouble != nil else {
                try refuseUndefined(value)
                throw fail("%\(type) format: a real number is required, not \(value.typeName)")
            }
            var integer = value.asInteger
            if case .float(let number) = value, "diu".unicodeScalars.contains(type) {
                integer = Int(exactly: number.rounded(.towardZero))
            }
            guard let integer else { throw fail("%\(type) format: an integer is required") }
            specification.type = type == "i" || type == "u" ? "d" : type
            if specification.fill == "0" { specification.alignment = "=" }
            return try formatted(integer, specification)
        case "f", "F", "e", "E", "g", "G":
            guard let number = value.asDouble else {
                try refuseUndefined(value)
                throw fail("must be real number, not \(value.typeName)")
            }
            specification.type = type
            if specification.fill == "0" { specification.alignment = "=" }
            return try formatted(number, specification)
        default: throw fail("unsupported format character '\(type)'")
        }
    }

    // MARK: Numbers

    func formatted(_ value: Int, _ specification: FormatSpecification) throws(JinjaError) -> String {
        var digits: String
        var prefix = ""
        switch specification.type {
        case nil, "d", "n": digits = String(value.magnitude)
        case "x", "X":
            digits = String(value.magnitude, radix: 16, uppercase: specification.type == "X")
            prefix = specification.type == "X" ? "0X" : "0x"
        case "o": (digits, prefix) = (String(value.magnitude, radix: 8), "0o")
        case "b": (digits, prefix) = (String(value.magnitude, radix: 2), "0b")
        case "c":
            guard let scalar = UInt32(exactly: value).flatMap(Unicode.Scalar.init) else {
                throw fail("%c arg not in range(0x110000)")
            }
            return try padded(String(scalar), specification)
        default: return try formatted(Double(value), specification)
        }
        // In % formatting a precision is the least number of digits.
        if let precision = specification.precision, digits.utf8.count < precision {
            try checkStringBytes(precision)
            digits = "0".repeated(precision - digits.utf8.count) + digits
        }
        if let separator = specification.groupSeparator { digits = grouped(digits, separator) }
        return try signed(digits, isNegative: value < 0, prefix: specification.isAlternate ? prefix : "", specification)
    }

    func formatted(_ value: Double, _ specification: FormatSpecification) throws(JinjaError) -> String {
        let precision = specification.precision ?? 6
        guard precision <= FormatSpecification.maxPrecision else { throw fail("the precision is too large") }
        var type = specification.type ?? "g"
        guard "eEfFgGn%".unicodeScalars.contains(type) else { throw fail("unknown format code '\(type)' for a number") }
        if type == "n" { type = "g" }
        var magnitude = value.magnitude
        if type == "%" {
            magnitude *= 100
            type = "f"
        }
        var text: String
        if !magnitude.isFinite {
            text = magnitude.isNaN ? "nan" : "inf"
            if "FEG".unicodeScalars.contains(type) { text = text.uppercased() }
        } else if specification.type == nil, specification.precision == nil {
            text = magnitude.pythonRepresentation
        } else {
            text = String(format: "%\(specification.isAlternate ? "#" : "").\(precision)\(type)", magnitude)
            if specification.type == nil, !text.contains("."), !text.contains("e") {
                // Python keeps a place behind the point: where the precision leaves none, it writes an exponent.
                text = text.utf8.count < precision ? text + ".0" : shortExponent(magnitude, max(precision, 1))
            }
        }
        if specification.type == "%" { text += "%" }
        if let separator = specification.groupSeparator {
            let whole = text.prefix { $0.isNumber }
            text = grouped(String(whole), separator) + text.dropFirst(whole.count)
        }
        return try signed(text, isNegative: value.sign == .minus && !value.isNaN, prefix: "", specification)
    }

    /// As many digits, with an exponent and without zeros at the end of the fraction.
    private func shortExponent(_ magnitude: Double, _ digits: Int) -> String {
        let text = String(format: "%.\(digits - 1)e", magnitude)
        guard let mark = text.firstIndex(of: "e"), digits > 1 else { return text }
        var mantissa = text[..<mark]
        while mantissa.last == "0" { mantissa.removeLast() }
        if mantissa.last == "." { mantissa.removeLast() }
        return String(mantissa + text[mark...])
    }

    private func grouped(_ digits: String, _ separator: Unicode.Scalar) -> String {
        var result = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.utf8.count - index) % 3 == 0 { result.unicodeScalars.append(separator) }
            result.append(digit)
        }
        return result
    }

    private func signed(
        _ digits: String, isNegative: Bool, prefix: String, _ specification: FormatSpecification
    ) throws(JinjaError) -> String {
        let sign = isNegative ? "-" : specification.sign.map { String($0) } ?? ""
        var specification = specification
        specification.alignment = specification.alignment ?? ">"
        guard specification.alignment == "=" else { return try padded(sign + prefix + digits, specification) }
        var inner = specification
        inner.alignment = ">"
        inner.width = max(0, specification.width.addingSaturated(-(sign + prefix).utf8.count))
        return sign + prefix + (try padded(digits, inner))
    }

    func padded(_ text: String, _ specification: FormatSpecification) throws(JinjaError) -> String {
        guard specification.width <= FormatSpecification.maxWidth else {
            throw fail("the width of a format is too large")
        }
        switch specification.alignment {
        case ">", "=": return try pad(text, to: specification.width, with: specification.fill, .right)
        case "^":
            // Here, unlike in `str.center`, the odd place is always to the right.
            let missing = specification.width - text.unicodeScalars.count
            guard missing > 0 else { return text }
            let fill = String(specification.fill)
            return fill.repeated(missing / 2) + text + fill.repeated(missing - missing / 2)
        default: return try pad(text, to: specification.width, with: specification.fill, .left)
        }
    }
}

/// Walks the scalars of a format string.
struct ScalarReader {
    private let scalars: [Unicode.Scalar]
    private var position = 0

    init(_ text: String) { scalars = Array(text.unicodeScalars) }

    var current: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }
    var following: Unicode.Scalar? { position + 1 < scalars.count ? scalars[position + 1] : nil }

    mutating func next() -> Unicode.Scalar? {
        guard let current else { return nil }
        position += 1
        return current
    }

    mutating func skip(_ scalar: Unicode.Scalar) -> Bool {
        guard current == scalar else { return false }
        position += 1
        return true
    }

    /// The text up to `end`, which is skipped; nil when it does not come.
    mutating func read(until end: Unicode.Scalar) -> String? {
        var text = String.UnicodeScalarView()
        while let scalar = next() {
            if scalar == end { return String(text) }
            text.append(scalar)
        }
        return nil
    }

    /// Digits as a number; too large a one becomes the largest.
    mutating func readInteger() -> Int? {
        var digits = ""
        while let scalar = current, scalar.isDigit {
            digits.unicodeScalars.append(scalar)
            position += 1
        }
        return digits.isEmpty ? nil : Int(digits) ?? .max
    }
}
