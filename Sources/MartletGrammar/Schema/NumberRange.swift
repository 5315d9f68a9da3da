/// Numbers of a range, digit by digit: while they are written they are compared with the range's ends.
struct NumberRange {
    var lower: NumberBound?
    var upper: NumberBound?
    var isInteger: Bool
    /// Integers have to be multiples of this.
    var divisor = 1

    /// Digits before and behind the point, at most: what a Double tells apart.
    static let digits = 16
    /// Digits of a number that no other of as many digits is the same Double as.
    private static let exactDigits = 15

    /// What is known of a magnitude by the digits so far: how it compares with the ends of a range, if the rest were 0.
    private struct Comparison: Hashable {
        var lower: Int
        var upper: Int
    }

    private struct Key: Hashable {
        var length: Int
        var position: Int
        var comparison: Comparison
        var remainder: Int
        /// Digits that there may be behind the point.
        var mostFractionDigits: Int
    }

    func nodes(
        _ builder: inout AutomatonBuilder, _ next: AutomatonBuilder.NodeID
    ) throws(GrammarError) -> AutomatonBuilder.NodeID {
        var targets: [AutomatonBuilder.NodeID] = []
        if upper.map({ !$0.value.isNegative }) ?? true {
            let from = lower.flatMap { $0.value.isNegative ? nil : $0 }
            targets.append(try magnitude(from, upper, &builder, next))
        }
        if lower.map({ $0.value.isNegative }) ?? true {
            // Of numbers below 0 the magnitude runs the other way.
            var from = NumberBound(value: Decimal(), isInclusive: false)
            if let upper, upper.value.isNegative {
                from = NumberBound(value: upper.value.magnitude, isInclusive: upper.isInclusive)
            }
            let to = lower.map { NumberBound(value: $0.value.magnitude, isInclusive: $0.isInclusive) }
            targets.append(try builder.literal("-", magnitude(from, to, &builder, next)))
        }
        return try builder.choice(targets)
    }

    private func magnitude(
        _ lower: NumberBound?, _ upper: NumberBound?, _ builder: inout AutomatonBuilder,
        _ next: AutomatonBuilder.NodeID
    ) throws(GrammarError) -> AutomatonBuilder.NodeID {
        // A Double tells numbers of 15 digits apart; one of more might be read as the bound that it must not be.
        let excluded = [lower, upper].compactMap { $0 }.filter { !$0.isInclusive && !$0.value.isZero }
        var digits = Digits(range: self, lower: lower, upper: upper, apartFrom: excluded, next)
        let node = try digits.magnitude(&builder)
        guard !excluded.isEmpty, node == builder.failure else { return node }
        // The bounds are nearer to each other than that.
        digits = Digits(range: self, lower: lower, upper: upper, apartFrom: [], next)
        return try digits.magnitude(&builder)
    }

    /// Magnitudes between two that are not negative.
    private struct Digits {
        let range: NumberRange
        let lower: NumberBound?
        let upper: NumberBound?
        let next: AutomatonBuilder.NodeID
        /// Bounds that no number may be read as.
        private let excluded: [NumberBound]
        private let mostFractionDigits: Int
        private var known: [Key: AutomatonBuilder.NodeID] = [:]

        init(
            range: NumberRange, lower: NumberBound?, upper: NumberBound?, apartFrom excluded: [NumberBound],
            _ next: AutomatonBuilder.NodeID
        ) {
            self.range = range
            self.lower = lower
            self.upper = upper
            self.excluded = excluded
            self.next = next
            let longest = [lower, upper].compactMap { $0?.value.fraction.count }.max() ?? 0
            mostFractionDigits = max(NumberRange.digits, longest + 1)
        }

        mutating func magnitude(_ builder: inout AutomatonBuilder) throws(GrammarError) -> AutomatonBuilder.NodeID {
            var targets: [AutomatonBuilder.NodeID] = []
            let most = max(NumberRange.digits, lower?.value.integer.count ?? 0)
            for length in 1...most {
                // 0 has one digit here, and none in a bound.
                let digits = (lower?.value.integer, upper?.value.integer)
                let comparison = Comparison(
                    lower: digits.0.map { Self.compare(length, max($0.count, 1)) } ?? 1,
                    upper: digits.1.map { Self.compare(length, max($0.count, 1)) } ?? -1)
                // Zeros behind the point of a number that is near a small bound are no digits of its own.
                let most = excluded.reduce(mostFractionDigits) {
                    max(0, min($0, NumberRange.exactDigits - min(length, $1.value.exponent)))
                }
                targets.append(
                    try integer(
                        Key(
                            length: length, position: 0, comparison: comparison, remainder: 0,
                            mostFractionDigits: most), &builder))
            }
            return try builder.choice(targets)
        }

        private static func compare(_ left: Int, _ right: Int) -> Int { left == right ? 0 : left < right ? -1 : 1 }

        /// The digit of a bound at a place before the point.
        private static func digit(_ bound: NumberBound, _ position: Int) -> UInt8 {
            position < bound.value.integer.count ? bound.value.integer[position] : 0
        }

        private func isHopeless(_ comparison: Comparison) -> Bool { comparison.lower < 0 || comparison.upper > 0 }

        private mutating func integer(
            _ key: Key, _ builder: inout AutomatonBuilder
        ) throws(GrammarError) -> AutomatonBuilder.NodeID {
            guard !isHopeless(key.comparison) else { return builder.failure }
            guard key.position < key.length else {
                return try fraction(0, key.comparison, key.remainder, most: key.mostFractionDigits, &builder)
            }
            var place = key
            if key.comparison.lower != 0, key.comparison.upper != 0 {
                // Only how many digits are left matters now, and whether a 0 may lead.
                place.position = key.position == 0 ? 0 : 1
                place.length = key.length - key.position + place.position
            }
            if let node = known[place] { return node }
            var targets: [AutomatonBuilder.NodeID] = []
            let first: UInt8 = key.position == 0 && key.length > 1 ? 1 : 0
            for digit in first...9 {
                let comparison = compare(
                    digit, with: { Self.digit($0, key.position) }, key.comparison)
                let rest = try integer(
                    Key(
                        length: key.length, position: key.position + 1, comparison: comparison,
                        remainder: (key.remainder * 10 + Int(digit)) % range.divisor,
                        mostFractionDigits: key.mostFractionDigits), &builder)
                if rest != builder.failure { targets.append(try self.digit(digit, rest, &builder)) }
            }
            let node = try builder.choice(targets)
            known[place] = node
            return node
        }

        private func compare(
            _ digit: UInt8, with bound: (NumberBound) -> UInt8, _ comparison: Comparison
        ) -> Comparison {
            var comparison = comparison
            if comparison.lower == 0, let lower { comparison.lower = Self.compare(Int(digit), Int(bound(lower))) }
            if comparison.upper == 0, let upper { comparison.upper = Self.compare(Int(digit), Int(bound(upper))) }
            return comparison
        }

        private func digit(
            _ digit: UInt8, _ next: AutomatonBuilder.NodeID, _ builder: inout AutomatonBuilder
        ) throws(GrammarError) -> AutomatonBuilder.NodeID {
            try builder.bytes(ByteSet(0x30 + digit...0x30 + digit), next)
        }

        /// What may follow `count` digits behind the point.
        private mutating func fraction(
            _ count: Int, _ comparison: Comparison, _ remainder: Int, most: Int, _ builder: inout AutomatonBuilder
        ) throws(GrammarError) -> AutomatonBuilder.NodeID {
            guard !isHopeless(comparison) else { return builder.failure }
            let key = Key(
                length: -1, position: count, comparison: comparison, remainder: remainder, mostFractionDigits: most)
            if let node = known[key] { return node }
            var targets: [AutomatonBuilder.NodeID] = []
            if mayEnd(count, comparison), remainder == 0 { targets.append(next) }
            if !range.isInteger, count < most {
                var digits: [AutomatonBuilder.NodeID] = []
                for digit in UInt8(0)...9 {
                    let comparison = compare(
                        digit,
                        with: { count < $0.value.fraction.count ? $0.value.fraction[count] : 0 }, comparison)
                    let rest = try fraction(count + 1, comparison, remainder, most: most, &builder)
                    if rest != builder.failure { digits.append(try self.digit(digit, rest, &builder)) }
                }
                let more = try builder.choice(digits)
                targets.append(count == 0 && more != builder.failure ? try builder.literal(".", more) : more)
            }
            let node = try builder.choice(targets)
            known[key] = node
            return node
        }

        /// Whether the number that ends here is in the range.
        private func mayEnd(_ count: Int, _ comparison: Comparison) -> Bool {
            if let lower {
                let hasRest = count < lower.value.fraction.count
                let order = comparison.lower == 0 && hasRest ? -1 : comparison.lower
                guard order > 0 || order == 0 && lower.isInclusive else { return false }
            }
            if let upper {
                let hasRest = count < upper.value.fraction.count
                let order = comparison.upper == 0 && hasRest ? -1 : comparison.upper
                guard order < 0 || order == 0 && upper.isInclusive else { return false }
            }
            return true
        }
    }
}

extension Decimal {
    /// How many digits before the point the first one stands that is not 0; negative for zeros behind the point.
    fileprivate var exponent: Int {
        integer.isEmpty ? -fraction.prefix { $0 == 0 }.count : integer.count
    }

    var magnitude: Decimal {
        var result = self
        result.isNegative = false
        return result
    }
}
