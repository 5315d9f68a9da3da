import MartletJinja

/// A number by its digits: binary fractions can't say what 0.1 is.
struct Decimal: Hashable {
    var isNegative = false
    /// Without leading zeros; empty for 0.
    var integer: [UInt8] = []
    /// Without trailing zeros.
    var fraction: [UInt8] = []

    /// Digits beyond this are no bound that anybody means.
    private static let mostDigits = 400

    init() {}

    init?(_ value: Value) {
        guard let text = try? JSONText.text(value) else { return nil }
        switch value {
        case .int, .float, .object: break
        default: return nil
        }
        var rest = text[...]
        if rest.hasPrefix("-") {
            isNegative = true
            rest.removeFirst()
        }
        let parts = rest.split(omittingEmptySubsequences: false) { $0 == "e" || $0 == "E" }
        guard let exponent = parts.count == 1 ? 0 : Int(parts[1]), abs(exponent) < Self.mostDigits else { return nil }
        let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        var digits = mantissa.joined().utf8.map { $0 &- 0x30 }
        guard !digits.isEmpty, digits.count < Self.mostDigits, digits.allSatisfy({ $0 < 10 }) else { return nil }
        var point = mantissa[0].utf8.count + exponent
        if point < 0 {
            digits.insert(contentsOf: repeatElement(0, count: -point), at: 0)
            point = 0
        }
        while digits.count < point { digits.append(0) }
        integer = Array(digits[..<point].drop { $0 == 0 })
        fraction = Array(digits[point...])
        while fraction.last == 0 { fraction.removeLast() }
        if integer.isEmpty, fraction.isEmpty { isNegative = false }
    }

    /// All of its digits, without an exponent.
    var text: String {
        func text(_ digits: [UInt8]) -> String { String(decoding: digits.map { $0 + 0x30 }, as: UTF8.self) }
        return (isNegative ? "-" : "") + (integer.isEmpty ? "0" : text(integer))
            + (fraction.isEmpty ? "" : "." + text(fraction))
    }

    var isZero: Bool { integer.isEmpty && fraction.isEmpty }

    static func < (left: Decimal, right: Decimal) -> Bool {
        guard left.isNegative == right.isNegative else { return left.isNegative }
        let (small, large) = left.isNegative ? (right, left) : (left, right)
        if small.integer.count != large.integer.count { return small.integer.count < large.integer.count }
        if small.integer != large.integer { return small.integer.lexicographicallyPrecedes(large.integer) }
        return small.fraction.lexicographicallyPrecedes(large.fraction)
    }
}

/// An end of a range.
struct NumberBound: Hashable {
    var value: Decimal
    var isInclusive: Bool

    /// The stricter of two lower bounds.
    static func lower(_ left: NumberBound?, _ right: NumberBound) -> NumberBound {
        guard let left else { return right }
        if left.value == right.value {
            return NumberBound(value: left.value, isInclusive: left.isInclusive && right.isInclusive)
        }
        return left.value < right.value ? right : left
    }

    /// The stricter of two upper bounds.
    static func upper(_ left: NumberBound?, _ right: NumberBound) -> NumberBound {
        guard let left else { return right }
        if left.value == right.value {
            return NumberBound(value: left.value, isInclusive: left.isInclusive && right.isInclusive)
        }
        return left.value < right.value ? left : right
    }
}
