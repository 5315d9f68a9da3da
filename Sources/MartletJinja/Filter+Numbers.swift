import Foundation

extension Filter {
    static let numbers: [Filter] = [
        Filter("abs") { (interpreter, value, _) throws(JinjaError) in
            try interpreter.refuseUndefined(value)
            if case .float(let number) = value { return .float(number.magnitude) }
            guard let integer = value.asInteger else {
                throw interpreter.fail("bad operand type for abs(): '\(value.typeName)'")
            }
            return integer < 0 ? try interpreter.negate(.int(integer)) : .int(integer)
        },
        Filter("int", ["default", "base"]) { (interpreter, value, arguments) throws(JinjaError) in
            let fallback = arguments[0] ?? .int(0)
            let base = try arguments[1].map { value throws(JinjaError) in
                try interpreter.requireInteger(value, "base")
            }
            switch value {
            case .int, .object(is LargeInteger): return value
            case .bool(let flag): return .int(flag ? 1 : 0)
            case .float(let number): return number.isNaN ? fallback : try integer(interpreter, number)
            case .string(let text):
                try interpreter.charge(bytes: text.utf8.count)
                if let integer = parseInteger(text, base: base ?? 10) { return integer }
                // "42.23" | int is 42.
                guard let number = parseDouble(text), number.isFinite else { return fallback }
                return try integer(interpreter, number)
            default:
                try interpreter.refuseUndefined(value)
                return fallback
            }
        },
        Filter("float", ["default"]) { (interpreter, value, arguments) throws(JinjaError) in
            if let number = value.asDouble { return .float(number) }
            try interpreter.refuseUndefined(value)
            if case .string(let text) = value, let number = parseDouble(text) { return .float(number) }
            if case .object(let large as LargeInteger) = value, let number = Double(large.digits) {
                return .float(number)
            }
            return arguments[0] ?? .float(0)
        },
        Filter("round", ["precision", "method"]) { (interpreter, value, arguments) throws(JinjaError) in
            try interpreter.refuseUndefined(value)
            let digits = try arguments[0].map { value throws(JinjaError) in
                try interpreter.requireInteger(value, "precision")
            }
            let method = try arguments[1].map { value throws(JinjaError) in
                try interpreter.requireString(value, "method")
            }
            return try round(interpreter, value, digits: digits ?? 0, method: method ?? "common")
        },
    ]

    /// Rounded towards zero. Python's integers are unlimited; here one that does not fit is an error, never another
    /// number.
    private static func integer(_ interpreter: Interpreter, _ number: Double) throws(JinjaError) -> Value {
        guard let integer = Int(exactly: number.rounded(.towardZero)) else {
            throw interpreter.fail("integer overflow: integers have 64 bits")
        }
        return .int(integer)
    }

    /// Python's `int(text, base)`.
    private static func parseInteger(_ text: String, base: Int) -> Value? {
        var digits = text.stripped(nil).withASCIIDigits
        var sign = ""
        if let first = digits.utf8.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") {
            sign = String(digits.removeFirst())
        }
        var radix = base
        for (prefix, value) in [("0x", 16), ("0o", 8), ("0b", 2)] {
            if digits.lowercased().hasPrefix(prefix), base == value || base == 0 {
                digits.removeFirst(2)
                radix = value
                if digits.hasPrefix("_") { digits.removeFirst() }
            }
        }
        if radix == 0 { radix = 10 }
        guard (2...36).contains(radix), let first = digits.utf8.first, first != UInt8(ascii: "-"),
            first != UInt8(ascii: "+"),
            let plain = withoutUnderscores(digits)
        else { return nil }
        if let integer = Int(sign + plain, radix: radix) { return .int(integer) }
        let significant = plain.drop { $0 == "0" }
        guard radix == 10, significant.utf8.count <= LargeInteger.maxDigits, String(significant).allScalars(\.isDigit)
        else { return nil }
        return .object(LargeInteger(digits: (sign == "-" ? "-" : "") + significant))
    }

    /// Python's `float(text)`.
    private static func parseDouble(_ text: String) -> Double? {
        let trimmed = text.stripped(nil).withASCIIDigits.lowercased()
        guard !trimmed.contains("x"), !trimmed.contains("p"), let plain = withoutUnderscores(trimmed) else {
            return nil
        }
        return Double(plain)
    }

    /// Single underscores may separate digits.
    private static func withoutUnderscores(_ digits: String) -> String? {
        guard digits.contains("_") else { return digits }
        let parts = digits.split(separator: "_", omittingEmptySubsequences: false)
        guard parts.allSatisfy({ $0.first?.isHexDigit == true && $0.last?.isHexDigit == true }) else { return nil }
        return parts.joined()
    }

    private static func round(
        _ interpreter: Interpreter, _ value: Value, digits: Int, method: String
    ) throws(JinjaError) -> Value {
        guard ["common", "ceil", "floor"].contains(method) else {
            throw interpreter.fail("method must be common, ceil or floor")
        }
        guard let number = value.asDouble else {
            throw interpreter.fail("type \(value.typeName) doesn't define __round__ method")
        }
        // No float has more decimals, and none is larger.
        guard (-400...400).contains(digits) else { throw interpreter.fail("the precision is too large") }
        if method != "common" {
            let scale = pow(10, Double(digits))
            let scaled = number * scale
            let rounded = method == "ceil" ? scaled.rounded(.up) : scaled.rounded(.down)
            guard rounded.isFinite else { throw interpreter.fail("cannot convert float infinity to integer") }
            return .float(rounded / scale)
        }
        if let integer = value.asInteger {
            guard digits < 0 else { return .int(integer) }
            guard digits > -19 else { return .int(0) }
            var unit = 1
            for _ in 0..<(-digits) { unit *= 10 }
            // To the nearest multiple, ties to the even one.
            let quotient = integer / unit
            let remainder = (integer % unit).magnitude
            let half = UInt(unit / 2)
            let isUp = remainder > half || remainder == half && quotient % 2 != 0
            let (product, overflows) = (isUp ? quotient + integer.signum() : quotient).multipliedReportingOverflow(
                by: unit)
            guard !overflows else { throw interpreter.fail("integer overflow: integers have 64 bits") }
            return .int(product)
        }
        guard number.isFinite else { return .float(number) }
        if digits < -308 { return .float(0) }
        if digits < 0 {
            let scale = pow(10, Double(-digits))
            return .float((number / scale).rounded(.toNearestOrEven) * scale)
        }
        // As Python does: the correctly rounded decimal, which half-way cases in binary never reach exactly.
        return .float(Double(String(format: "%.\(digits)f", number)) ?? number)
    }
}
