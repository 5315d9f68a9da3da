import Foundation

extension Interpreter {
    // MARK: Arithmetic

    func negate(_ value: Value) throws(JinjaError) -> Value {
        try refuseUndefined(value)
        if let integer = value.asInteger {
            guard integer != .min else { throw overflow() }
            return .int(-integer)
        }
        switch value {
        case .float(let number): return .float(-number)
        case .object(let integer as LargeInteger): return integer.negated
        default: throw fail("bad operand type for unary -: '\(value.typeName)'")
        }
    }

    private func overflow() -> JinjaError { fail("integer overflow: integers have 64 bits") }

    private func checked(_ result: (partialValue: Int, overflow: Bool)) throws(JinjaError) -> Value {
        guard !result.overflow else { throw overflow() }
        return .int(result.partialValue)
    }

    func calculate(_ operation: ArithmeticOperator, _ left: Value, _ right: Value) throws(JinjaError) -> Value {
        if let left = left.asInteger, let right = right.asInteger { return try calculate(operation, left, right) }
        if let left = left.asDouble, let right = right.asDouble { return try calculate(operation, left, right) }
        switch (operation, left, right) {
        case (_, .markup, _), (_, _, .markup):
            if let result = try calculateMarkup(operation, left, right) { return result }
        case (.add, .string(let left), .string(let right)):
            try checkStringBytes(left.utf8.count + right.utf8.count)
            return try string(left + right)
        case (.add, .list(let left), .list(let right)): return try list(left.elements + right.elements)
        case (.add, .tuple(let left), .tuple(let right)): return try tuple(left.elements + right.elements)
        case (.modulo, .string(let format), _): return try string(try percentFormat(format, right))
        case (.multiply, _, _):
            if let count = right.asInteger, let repeated = try repeating(left, count) { return repeated }
            if let count = left.asInteger, let repeated = try repeating(right, count) { return repeated }
        default: break
        }
        try refuseUndefined(left)
        try refuseUndefined(right)
        if operation == .add, case .string = left {
            throw fail("can only concatenate str (not \"\(right.typeName)\") to str")
        }
        throw fail("unsupported operand types: '\(left.typeName)' and '\(right.typeName)'")
    }

    private func calculate(_ operation: ArithmeticOperator, _ left: Int, _ right: Int) throws(JinjaError) -> Value {
        switch operation {
        case .add: return try checked(left.addingReportingOverflow(right))
        case .subtract: return try checked(left.subtractingReportingOverflow(right))
        case .multiply: return try checked(left.multipliedReportingOverflow(by: right))
        case .divide:
            guard right != 0 else { throw fail("division by zero") }
            return .float(Self.quotient(left, right))
        case .floorDivide, .modulo:
            guard right != 0 else { throw fail("integer division or modulo by zero") }
            let (quotient, overflows) = left.dividedReportingOverflow(by: right)
            if overflows {
                if operation == .modulo { return .int(0) }
                throw overflow()
            }
            let remainder = left - quotient * right
            // Python rounds down and the remainder has the sign of the divisor.
            let isBelow = remainder != 0 && (remainder < 0) != (right < 0)
            if operation == .floorDivide { return .int(isBelow ? quotient - 1 : quotient) }
            return .int(isBelow ? remainder + right : remainder)
        case .power:
            guard right >= 0 else {
                guard left != 0 else { throw fail("0.0 cannot be raised to a negative power") }
                return .float(pow(Double(left), Double(right)))
            }
            return try power(left, right)
        }
    }

    /// The float nearest to the quotient, as Python gives it also where no float is equal to an operand.
    private static func quotient(_ dividend: Int, _ divisor: Int) -> Double {
        if dividend == 0 || Double(exactly: dividend) != nil && Double(exactly: divisor) != nil {
            return Double(dividend) / Double(divisor)
        }
        // Both with their highest bit set, the quotient of 2^63 times the one by the other has 63 or 64 bits. Its last bit
        // stands for all that are cut off: ten below those that a float keeps, it decides only what a tie is.
        let shift = dividend.magnitude.leadingZeroBitCount
        let divisorShift = divisor.magnitude.leadingZeroBitCount
        let numerator = dividend.magnitude << shift
        let (quotient, remainder) = (divisor.magnitude << divisorShift).dividingFullWidth(
            (numerator >> 1, numerator << 63))
        return Double(
            sign: (dividend < 0) == (divisor < 0) ? .plus : .minus, exponent: divisorShift - shift - 63,
            significand: Double(quotient | (remainder == 0 ? 0 : 1)))
    }

    /// By squaring, so that the exponent does not count the steps.
    private func power(_ base: Int, _ exponent: Int) throws(JinjaError) -> Value {
        var result = 1
        var square = base
        var exponent = exponent
        while true {
            if exponent & 1 == 1 {
                let (product, overflows) = result.multipliedReportingOverflow(by: square)
                guard !overflows else { throw overflow() }
                result = product
            }
            exponent >>= 1
            if exponent == 0 { return .int(result) }
            let (squared, overflows) = square.multipliedReportingOverflow(by: square)
            guard !overflows else { throw overflow() }
            square = squared
        }
    }

    private func calculate(_ operation: ArithmeticOperator, _ left: Double, _ right: Double) throws(JinjaError) -> Value
    {
        switch operation {
        case .add: return .float(left + right)
        case .subtract: return .float(left - right)
        case .multiply: return .float(left * right)
        case .divide:
            guard right != 0 else { throw fail("float division by zero") }
            return .float(left / right)
        case .floorDivide, .modulo:
            guard right != 0 else { throw fail("float floor division by zero") }
            var remainder = fmod(left, right)
            if remainder != 0, (remainder < 0) != (right < 0) { remainder += right }
            if operation == .modulo {
                return .float(remainder == 0 ? Double(signOf: right, magnitudeOf: 0) : remainder)
            }
            let quotient = (left - remainder) / right
            let floored = quotient.rounded(.down)
            return .float(quotient - floored > 0.5 ? floored + 1 : floored)
        case .power:
            if left == 0, right < 0 { throw fail("0.0 cannot be raised to a negative power") }
            if left < 0, right.rounded() != right, right.isFinite { throw fail("complex numbers are not supported") }
            let result = pow(left, right)
            if result.isInfinite, left.isFinite, right.isFinite { throw fail("numerical result out of range") }
            return .float(result)
        }
    }

    func repeating(_ value: Value, _ count: Int) throws(JinjaError) -> Value? {
        let count = max(count, 0)
        switch value {
        case .string(let text):
            let (bytes, overflows) = text.utf8.count.multipliedReportingOverflow(by: count)
            try checkStringBytes(overflows ? .max : bytes)
            try charge(bytes: bytes)
            return try string(text.repeated(count))
        case .list(let list):
            return try self.list(try repeating(list.elements, count))
        case .tuple(let list):
            return try tuple(try repeating(list.elements, count))
        default: return nil
        }
    }

    private func repeating(_ elements: [Value], _ count: Int) throws(JinjaError) -> [Value] {
        let (total, overflows) = elements.count.multipliedReportingOverflow(by: count)
        guard !overflows, total <= limits.maxElements else {
            throw fail("a list has more than \(limits.maxElements) elements", .limitExceeded)
        }
        try charge(total)
        return Array(repeatElement(elements, count: elements.isEmpty ? 0 : count).joined())
    }

    // MARK: Comparison

    func compare(_ operation: ComparisonOperator, _ left: Value, _ right: Value) throws(JinjaError) -> Bool {
        switch operation {
        case .equal: return try areEqual(left, right)
        case .notEqual: return !(try areEqual(left, right))
        case .less: return try isLess(left, right)
        case .greater: return try isLess(right, left)
        case .lessOrEqual: return try isLessOrEqual(left, right)
        case .greaterOrEqual: return try isLessOrEqual(right, left)
        case .in: return try contains(left, in: right)
        case .notIn: return !(try contains(left, in: right))
        }
    }

    func areEqual(_ left: Value, _ right: Value) throws(JinjaError) -> Bool {
        try charge(min(left.weight, right.weight))
        return left.equals(right)
    }

    /// As a container looks for an element.
    func areSame(_ left: Value, _ right: Value) throws(JinjaError) -> Bool {
        try charge(min(left.weight, right.weight))
        return left.isSame(as: right)
    }

    func isLess(_ left: Value, _ right: Value) throws(JinjaError) -> Bool {
        try charge(min(left.weight, right.weight))
        try refuseUndefined(left)
        try refuseUndefined(right)
        guard let result = left.isLess(than: right) else {
            throw fail("'<' not supported between instances of '\(left.typeName)' and '\(right.typeName)'")
        }
        return result
    }

    private func isLessOrEqual(_ left: Value, _ right: Value) throws(JinjaError) -> Bool {
        // Not "not greater": nothing compares with NaN.
        if try isLess(left, right) { return true }
        return left.equals(right)
    }

    func contains(_ value: Value, in container: Value) throws(JinjaError) -> Bool {
        switch container {
        case .string(let text), .markup(let text):
            guard let part = value.asString else {
                throw fail("'in <string>' requires string as left operand, not \(value.typeName)")
            }
            try charge(bytes: (text.utf8.count + part.utf8.count) * 2)
            return text.firstOffset(of: part) != nil
        case .dictionary(let dictionary):
            try checkKey(value)
            return dictionary[value] != nil
        case .object(let object as DictionaryView) where object.kind == .keys:
            try checkKey(value)
            return object.dictionary[value] != nil
        case .object(let object as ElementIterator):
            while let element = object.next() {
                if try areSame(element, value) { return true }
            }
            return false
        case .int, .bool, .float, .null: throw fail("argument of type '\(container.typeName)' is not iterable")
        default:
            for element in try elements(of: container) where try areSame(element, value) { return true }
            return false
        }
    }
}

extension Double {
    fileprivate init(signOf sign: Double, magnitudeOf magnitude: Double) {
        self.init(sign: sign.sign, exponent: 0, significand: magnitude)
    }
}
