/// Parses the regular expressions of `tokenizer.json`, which are written for Oniguruma's Ruby syntax: `^` and `$` are line
/// anchors, brackets nest, `&&` intersects, and a `+` after `{n,m}` repeats instead of making it possessive.
///
/// Captures, backreferences, general lookbehind and atomic groups are refused: without them a match is a pure function of
/// the position, which is what makes `RegexMatcher` linear.
struct RegexParser {
    /// The longest published pattern has about 1,500 scalars.
    private static let maximumLength = 1 << 14
    private static let maximumDepth = 32
    private static let maximumRepetitions = 1024

    private let pattern: [Unicode.Scalar]
    private var index = 0
    private var depth = 0
    private var ignoresCase = false

    private init(_ pattern: [Unicode.Scalar]) {
        self.pattern = pattern
    }

    static func parse(_ text: String) throws(TokenizerError) -> RegexNode {
        let scalars = Array(text.unicodeScalars)
        guard scalars.count <= maximumLength else { throw .unsupported("a pattern of \(scalars.count) scalars") }
        var parser = RegexParser(scalars)
        let node = try parser.alternation()
        guard parser.index == scalars.count else { throw parser.error("unmatched )") }
        return node
    }

    private var next: Unicode.Scalar? { index < pattern.count ? pattern[index] : nil }

    private func error(_ what: String) -> TokenizerError {
        .unsupported("pattern \(String(String.UnicodeScalarView(pattern))): \(what) at scalar \(index)")
    }

    private mutating func accept(_ text: String) -> Bool {
        let scalars = Array(text.unicodeScalars)
        guard pattern[index...].starts(with: scalars) else { return false }
        index += scalars.count
        return true
    }

    private mutating func alternation() throws(TokenizerError) -> RegexNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumDepth else { throw error("groups nested too deeply") }
        var branches = [try sequence()]
        while accept("|") { branches.append(try sequence()) }
        return branches.count == 1 ? branches[0] : .alternation(branches)
    }

    private mutating func sequence() throws(TokenizerError) -> RegexNode {
        var nodes: [RegexNode] = []
        while let scalar = next, scalar != "|", scalar != ")" {
            nodes.append(try quantified(try atom()))
        }
        return nodes.count == 1 ? nodes[0] : nodes.isEmpty ? .empty : .sequence(nodes)
    }

    // MARK: Quantifiers

    private mutating func quantified(_ atom: RegexNode) throws(TokenizerError) -> RegexNode {
        var node = atom
        var nesting = depth
        while let (minimum, maximum, isInterval) = try quantifier() {
            nesting += 1
            guard nesting <= Self.maximumDepth else { throw error("repetitions nested too deeply") }
            var greed = RegexNode.Greed.greedy
            if next == "?" {
                guard !(isInterval && minimum == maximum) else { throw error("{n}?") }
                index += 1
                greed = .lazy
            } else if next == "+", !isInterval {
                index += 1
                greed = .possessive
            }
            if maximum == nil, node.canBeEmpty { throw error("a repetition of something that may be empty") }
            if greed == .possessive, case .set = node {
            } else if greed == .possessive {
                throw error("a possessive group")
            }
            node = .repetition(node, minimum: minimum, maximum: maximum, greed: greed)
        }
        return node
    }

    private mutating func quantifier() throws(TokenizerError) -> (Int, Int?, isInterval: Bool)? {
        if accept("*") { return (0, nil, false) }
        if accept("+") { return (1, nil, false) }
        if accept("?") { return (0, 1, false) }
        guard next == "{" else { return nil }
        let start = index
        index += 1
        let low = number()
        let hasComma = accept(",")
        let high = hasComma ? number() : low
        guard accept("}"), low != nil || high != nil else {
            index = start  // a literal brace
            return nil
        }
        let minimum = low ?? 0
        guard minimum <= Self.maximumRepetitions, (high ?? 0) <= Self.maximumRepetitions,
            high.map({ $0 >= minimum }) ?? true
        else { throw error("a repetition count out of range") }
        return (minimum, high, true)
    }

    private mutating func number() -> Int? {
        var value: Int?
        while let digit = next, ("0"..."9").contains(digit) {
            value = min((value ?? 0) * 10 + Int(digit.value - 48), Self.maximumRepetitions + 1)
            index += 1
        }
        return value
    }

    // MARK: Atoms

    private mutating func atom() throws(TokenizerError) -> RegexNode {
        guard let scalar = next else { return .empty }
        switch scalar {
        case "(": return try group()
        case "[": return .set(try bracket())
        case "^":
            index += 1
            return .anchor(.lineStart)
        case "$":
            index += 1
            return .anchor(.lineEnd)
        case ".":
            index += 1
            return .set(ScalarSet("\n").inverted)
        case "*", "+", "?": throw error("nothing to repeat")
        case "\\":
            if let anchor = anchorEscape() { return .anchor(anchor) }
            return .set(try escape())
        default:
            index += 1
            return .set(literal(scalar))
        }
    }

    private func literal(_ scalar: Unicode.Scalar) -> ScalarSet {
        ignoresCase ? UnicodeProperties.caseVariants(of: scalar) : ScalarSet(scalar)
    }

    private mutating func group() throws(TokenizerError) -> RegexNode {
        index += 1
        let outerCase = ignoresCase
        defer { ignoresCase = outerCase }
        if accept("?:") {
        } else if accept("?i:") {
            ignoresCase = true
        } else if accept("?=") || accept("?!") {
            let negated = pattern[index - 1] == "!"
            return .lookahead(try closed(), negated: negated)
        } else if accept("?<=") || accept("?<!") {
            let negated = pattern[index - 1] == "!"
            guard case .set(let set) = try closed() else { throw error("a lookbehind of more than one scalar") }
            return .lookbehind(set, negated: negated)
        } else if next == "?" {
            throw error("a group of this kind")
        }
        return try closed()
    }

    private mutating func closed() throws(TokenizerError) -> RegexNode {
        let node = try alternation()
        guard accept(")") else { throw error("missing )") }
        return node
    }

    private mutating func anchorEscape() -> RegexNode.Anchor? {
        if accept("\\b") { return .wordBoundary }
        if accept("\\B") { return .notWordBoundary }
        if accept("\\A") { return .textStart }
        if accept("\\z") { return .textEnd }
        return nil
    }

    // MARK: Sets

    private mutating func escape(inBrackets: Bool = false) throws(TokenizerError) -> ScalarSet {
        var word: ScalarSet { inBrackets ? UnicodeProperties.wordInBrackets : UnicodeProperties.word }
        index += 1
        guard let scalar = next else { throw error("a trailing backslash") }
        index += 1
        switch scalar {
        case "s": return UnicodeProperties.whitespace
        case "S": return UnicodeProperties.whitespace.inverted
        case "d": return UnicodeProperties.decimalDigits
        case "D": return UnicodeProperties.decimalDigits.inverted
        case "w": return word
        case "W": return word.inverted
        case "p", "P": return try property(negated: scalar == "P")
        default:
            index -= 1
            return literal(try escapedScalar())
        }
    }

    private mutating func escapedScalar() throws(TokenizerError) -> Unicode.Scalar {
        guard let scalar = next else { throw error("a trailing backslash") }
        index += 1
        switch scalar {
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "f": return "\u{0C}"
        case "v": return "\u{0B}"
        case "a": return "\u{07}"
        case "e": return "\u{1B}"
        case "x": return accept("{") ? try hexadecimal(1...6, closing: "}") : try hexadecimal(2...2, closing: "")
        case "u": return try hexadecimal(4...4, closing: "")
        case "A"..."Z", "a"..."z", "0"..."9": throw error("the escape \\\(scalar)")
        default: return scalar
        }
    }

    private mutating func hexadecimal(_ digits: ClosedRange<Int>, closing: String) throws(TokenizerError)
        -> Unicode.Scalar
    {
        var value: UInt32 = 0
        var count = 0
        while count < digits.upperBound, let digit = next?.properties.isASCIIHexDigit == true ? next : nil {
            value = value * 16 + UInt32(Character(digit).hexDigitValue ?? 0)
            count += 1
            index += 1
        }
        guard digits.contains(count), accept(closing), let scalar = Unicode.Scalar(value) else {
            throw error("a bad hexadecimal escape")
        }
        return scalar
    }

    private mutating func property(negated: Bool) throws(TokenizerError) -> ScalarSet {
        var name = ""
        var inverts = negated
        if accept("{") {
            if accept("^") { inverts.toggle() }
            while let scalar = next, scalar != "}" {
                name.unicodeScalars.append(scalar)
                index += 1
            }
            guard accept("}") else { throw error("missing }") }
        } else if let scalar = next {
            name.unicodeScalars.append(scalar)
            index += 1
        }
        guard let set = UnicodeProperties.set(named: name) else { throw error("the property \\p{\(name)}") }
        return inverts ? set.inverted : set
    }

    private mutating func bracket() throws(TokenizerError) -> ScalarSet {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumDepth else { throw error("brackets nested too deeply") }
        index += 1
        let negated = accept("^")
        var union: [ClosedRange<UInt32>] = []
        var intersection: ScalarSet?
        var isFirst = true
        while let scalar = next, scalar != "]" || isFirst {
            isFirst = false
            if accept("&&") {
                let left = ScalarSet(union)
                intersection = intersection?.intersection(left) ?? left
                union = []
            } else if scalar == "[" {
                guard pattern[index...].dropFirst().first != ":" else { throw error("a POSIX bracket") }
                union += try bracket().ranges
            } else {
                union += try bracketItem(scalar).ranges
            }
        }
        guard accept("]") else { throw error("missing ]") }
        var set = ScalarSet(union)
        if let intersection { set = intersection.intersection(set) }
        return negated ? set.inverted : set
    }

    /// A class escape, a scalar, or a range of scalars.
    private mutating func bracketItem(_ scalar: Unicode.Scalar) throws(TokenizerError) -> ScalarSet {
        let low: Unicode.Scalar
        if scalar == "\\" {
            if let following = pattern[index...].dropFirst().first, "sSdDwWpP".unicodeScalars.contains(following) {
                return try escape(inBrackets: true)
            }
            index += 1
            low = try escapedScalar()
        } else {
            index += 1
            low = scalar
        }
        guard next == "-", let after = pattern[index...].dropFirst().first, after != "]", after != "[" else {
            return literal(low)
        }
        index += 1
        let high: Unicode.Scalar
        if after == "\\" {
            index += 1
            high = try escapedScalar()
        } else {
            index += 1
            high = after
        }
        guard low <= high else { throw error("a range that runs backwards") }
        guard !ignoresCase || high.value - low.value > 256 else {
            return ScalarSet(
                (low.value...high.value).compactMap(Unicode.Scalar.init).flatMap {
                    UnicodeProperties.caseVariants(of: $0).ranges
                })
        }
        return ScalarSet([low.value...high.value])
    }
}
