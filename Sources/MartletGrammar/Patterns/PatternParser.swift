import MartletTokenizers

/// Parses regular expressions as ECMA-262 writes them (with its flag `u`), which is what JSON Schema asks for; Python's mean
/// the same where they share a spelling.
///
/// What is no regular language, or depends on what stands around it, is refused: assertions but `^` at the start and `$` at
/// the end, and backreferences. Whether a quantifier is lazy says which match is found, not what matches.
struct PatternParser {
    private let scalars: [Unicode.Scalar]
    private let limits: GrammarLimits
    private var index = 0
    private var depth = 0
    /// Of the sets so far.
    private var rangeCount = 0

    /// Most repetitions that a quantifier may ask for.
    private static let maximumRepetitions = 100_000

    /// An alternative of the whole expression, and at which ends it is held to the text's.
    private struct Branch {
        var parts: [Pattern] = []
        var isHeldAtStart = false
        var isHeldAtEnd = false
    }

    private init(_ text: String, _ limits: GrammarLimits) {
        scalars = Array(text.unicodeScalars)
        self.limits = limits
    }

    /// - Parameter finds: the expression may match anywhere in the text (JSON Schema's `pattern`); otherwise it has to match
    ///   the whole text.
    static func parse(_ text: String, finds: Bool, limits: GrammarLimits) throws(GrammarError) -> Pattern {
        guard text.utf8.count <= limits.sourceBytes else { throw .tooComplex("the regular expression is too long") }
        var parser = PatternParser(text, limits)
        let branches = try parser.branches()
        guard parser.index == parser.scalars.count else { throw parser.failure("has an unmatched ')'") }
        return .alternation(
            branches.map { branch in
                var parts = branch.parts
                if finds, !branch.isHeldAtStart { parts.insert(.anything, at: 0) }
                if finds, !branch.isHeldAtEnd { parts.append(.anything) }
                return .sequence(parts)
            })
    }

    private func failure(_ what: String) -> GrammarError {
        .malformed("the regular expression \(what) (character \(index + 1))")
    }

    private func refusal(_ what: String) -> GrammarError {
        .unsupported("\(what) in a regular expression is not supported (character \(index + 1))")
    }

    private var current: Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }

    private mutating func accept(_ scalar: Unicode.Scalar) -> Bool {
        guard current == scalar else { return false }
        index += 1
        return true
    }

    // MARK: Structure

    /// The alternatives up to a closing parenthesis or the end.
    private mutating func branches() throws(GrammarError) -> [Branch] {
        depth += 1
        defer { depth -= 1 }
        guard depth <= limits.depth else { throw failure("is nested too deeply") }
        var branches = [try branch()]
        while accept("|") { branches.append(try branch()) }
        return branches
    }

    private mutating func branch() throws(GrammarError) -> Branch {
        var branch = Branch()
        while let scalar = current, scalar != "|", scalar != ")" {
            guard !branch.isHeldAtEnd else { throw refusal("'$' before the end") }
            switch scalar {
            case "^":
                guard branch.parts.isEmpty else { throw refusal("'^' behind the start") }
                index += 1
                branch.isHeldAtStart = true
            case "$":
                index += 1
                branch.isHeldAtEnd = true
            case "(":
                try group(into: &branch)
            default:
                branch.parts.append(try quantified(try atom()))
            }
        }
        return branch
    }

    private mutating func group(into branch: inout Branch) throws(GrammarError) {
        index += 1
        if accept("?") {
            if accept("<") {
                guard current != "=", current != "!" else { throw refusal("a lookbehind") }
                while let scalar = current, scalar != ">" { index += Self.isWord(scalar) ? 1 : scalars.count }
                guard accept(">") else { throw failure("has a malformed group name") }
            } else if accept("P") {
                guard accept("<") else { throw refusal("a backreference") }
                while let scalar = current, scalar != ">" { index += Self.isWord(scalar) ? 1 : scalars.count }
                guard accept(">") else { throw failure("has a malformed group name") }
            } else if !accept(":") {
                throw current == "=" || current == "!" ? refusal("a lookahead") : refusal("a group with flags")
            }
        }
        let inner = try branches()
        guard accept(")") else { throw failure("has an unmatched '('") }
        // What holds in every alternative of a group holds for what is around it, if it stands at that end.
        let heldAtStart = inner.count { $0.isHeldAtStart }
        let heldAtEnd = inner.count { $0.isHeldAtEnd }
        let pattern = Pattern.alternation(inner.map { .sequence($0.parts) })
        guard heldAtStart + heldAtEnd > 0 else {
            branch.parts.append(try quantified(pattern))
            return
        }
        guard heldAtStart == 0 || (heldAtStart == inner.count && branch.parts.isEmpty),
            heldAtEnd == 0 || heldAtEnd == inner.count, !isAtQuantifier
        else { throw refusal("'^' or '$' in only a part of a group") }
        branch.parts.append(pattern)
        branch.isHeldAtStart = branch.isHeldAtStart || heldAtStart > 0
        branch.isHeldAtEnd = heldAtEnd > 0
    }

    private var isAtQuantifier: Bool {
        guard let current else { return false }
        return ["*", "+", "?", "{"].contains(current)
    }

    private mutating func quantified(_ pattern: Pattern) throws(GrammarError) -> Pattern {
        var bounds: (Int, Int?)
        switch current {
        case "*": bounds = (0, nil)
        case "+": bounds = (1, nil)
        case "?": bounds = (0, 1)
        case "{":
            guard let counts = try counts() else { throw failure("has a malformed quantifier") }
            bounds = counts
            // The closing brace.
            index -= 1
        default: return pattern
        }
        index += 1
        // Lazy, or in Python possessive, which is another language.
        _ = accept("?")
        guard !isAtQuantifier else { throw failure("has a quantifier without something before it") }
        return .repetition(pattern, atLeast: bounds.0, atMost: bounds.1)
    }

    /// `{n}`, `{n,}` or `{n,m}`; what is after it comes next.
    private mutating func counts() throws(GrammarError) -> (Int, Int?)? {
        index += 1
        guard let low = try number() else { return nil }
        if accept("}") { return (low, low) }
        guard accept(",") else { return nil }
        if accept("}") { return (low, nil) }
        guard let high = try number(), accept("}") else { return nil }
        guard low <= high else { throw failure("has a quantifier from \(low) to \(high)") }
        return (low, high)
    }

    private mutating func number() throws(GrammarError) -> Int? {
        var value: Int?
        while let scalar = current, ("0"..."9").contains(scalar) {
            value = (value ?? 0) * 10 + Int(scalar.value - 0x30)
            guard let value, value <= Self.maximumRepetitions else {
                throw .tooComplex("a quantifier asks for more than \(Self.maximumRepetitions) repetitions")
            }
            index += 1
        }
        return value
    }

    // MARK: Atoms

    private static let lineEnds = ScalarSet([0x0A...0x0A, 0x0D...0x0D, 0x2028...0x2029])

    private mutating func atom() throws(GrammarError) -> Pattern {
        guard let scalar = current else { throw failure("ends too early") }
        if isAtQuantifier { throw failure("has a quantifier without something before it") }
        index += 1
        switch scalar {
        case ".": return .set(Self.lineEnds.inverted)
        case "[": return .set(try characterClass())
        case "\\": return .set(try counted(escape(inClass: false)))
        default: return .set(ScalarSet(scalar))
        }
    }

    /// A property has hundreds of ranges and few letters.
    private mutating func counted(_ set: ScalarSet) throws(GrammarError) -> ScalarSet {
        rangeCount += set.ranges.count
        guard rangeCount <= limits.ranges / 8 else { throw .tooComplex("the regular expression has too large classes") }
        return set
    }

    private mutating func characterClass() throws(GrammarError) -> ScalarSet {
        let isInverted = accept("^")
        var ranges: [ClosedRange<UInt32>] = []
        while true {
            guard let scalar = current else { throw failure("has an unmatched '['") }
            index += 1
            if scalar == "]" { break }
            let low = scalar == "\\" ? try escape(inClass: true) : ScalarSet(scalar)
            guard current == "-", index + 1 < scalars.count, scalars[index + 1] != "]" else {
                ranges += try counted(low).ranges
                continue
            }
            index += 1
            guard let end = current else { throw failure("has an unmatched '['") }
            index += 1
            let high = end == "\\" ? try escape(inClass: true) : ScalarSet(end)
            guard let first = low.single, let last = high.single else { throw failure("has a range between sets") }
            guard first <= last else { throw failure("has a range in the wrong order") }
            ranges.append(first...last)
        }
        let set = ScalarSet(ranges)
        return isInverted ? set.inverted : set
    }

    private static let digits = ScalarSet([0x30...0x39])
    private static let words = ScalarSet([0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
    /// ECMA-262's white space and line ends.
    private static let spaces = ScalarSet([
        0x09...0x0D, 0x20...0x20, 0xA0...0xA0, 0x1680...0x1680, 0x2000...0x200A, 0x2028...0x2029, 0x202F...0x202F,
        0x205F...0x205F, 0x3000...0x3000, 0xFEFF...0xFEFF,
    ])

    private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isAlphabetic || scalar == "_" || ("0"..."9").contains(scalar)
    }

    private mutating func escape(inClass: Bool) throws(GrammarError) -> ScalarSet {
        guard let scalar = current else { throw failure("ends in the middle of an escape") }
        index += 1
        switch scalar {
        case "d": return Self.digits
        case "D": return Self.digits.inverted
        case "w": return Self.words
        case "W": return Self.words.inverted
        case "s": return Self.spaces
        case "S": return Self.spaces.inverted
        case "n": return ScalarSet("\n")
        case "r": return ScalarSet("\r")
        case "t": return ScalarSet("\t")
        case "f": return ScalarSet("\u{C}")
        case "v": return ScalarSet("\u{B}")
        case "0":
            if let digit = current, ("0"..."9").contains(digit) { throw refusal("an octal escape") }
            return ScalarSet("\u{0}")
        case "b" where inClass: return ScalarSet("\u{8}")
        case "b", "B", "A", "Z", "z": throw refusal("the assertion '\\\(scalar)'")
        case "1"..."9", "k": throw refusal("a backreference")
        case "c":
            guard let letter = current, ("A"..."Z").contains(letter) || ("a"..."z").contains(letter) else {
                throw failure("has a malformed control escape")
            }
            index += 1
            return ScalarSet([letter.value & 31...letter.value & 31])
        case "x": return try ScalarSet(hexadecimal(2))
        case "u":
            if accept("{") {
                var count = 0
                while index + count < scalars.count, scalars[index + count] != "}", count < 7 { count += 1 }
                let set = try ScalarSet(hexadecimal(count))
                guard accept("}") else { throw failure("has a malformed \\u escape") }
                return set
            }
            let unit = try hexadecimalValue(4)
            guard (0xD800...0xDBFF).contains(unit) else { return ScalarSet(try scalarOf(unit)) }
            guard accept("\\"), accept("u") else { throw failure("has half of a surrogate pair") }
            let low = try hexadecimalValue(4)
            guard (0xDC00...0xDFFF).contains(low) else { throw failure("has half of a surrogate pair") }
            return ScalarSet(try scalarOf(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00)))
        case "p", "P":
            guard accept("{") else { throw failure("has a malformed property") }
            var name = ""
            while let scalar = current, scalar != "}" {
                name.unicodeScalars.append(scalar)
                index += 1
            }
            guard accept("}") else { throw failure("has a malformed property") }
            for prefix in ["General_Category=", "gc=", "Script=", "sc="] where name.hasPrefix(prefix) {
                name.removeFirst(prefix.count)
            }
            guard let set = UnicodeProperties.set(named: name) else { throw refusal("the property '\(name)'") }
            return scalar == "P" ? set.inverted : set
        default:
            // ECMA-262 admits only syntax characters here; other languages any that is no letter.
            guard !Self.isWord(scalar) else { throw refusal("the escape '\\\(scalar)'") }
            return ScalarSet(scalar)
        }
    }

    private mutating func hexadecimal(_ count: Int) throws(GrammarError) -> Unicode.Scalar {
        try scalarOf(hexadecimalValue(count))
    }

    private func scalarOf(_ value: UInt32) throws(GrammarError) -> Unicode.Scalar {
        guard let scalar = Unicode.Scalar(value) else { throw failure("has an escape that is no character") }
        return scalar
    }

    private mutating func hexadecimalValue(_ count: Int) throws(GrammarError) -> UInt32 {
        guard count > 0, index + count <= scalars.count else { throw failure("has a malformed escape") }
        var value: UInt32 = 0
        for scalar in scalars[index..<index + count] {
            guard let digit = Character(scalar).hexDigitValue, scalar.isASCII else {
                throw failure("has a malformed escape")
            }
            value = value << 4 | UInt32(digit)
        }
        index += count
        return value
    }
}

extension ScalarSet {
    /// The only scalar of a set of one.
    fileprivate var single: UInt32? {
        ranges.count == 1 && ranges[0].count == 1 ? ranges[0].lowerBound : nil
    }
}
