import MartletTokenizers

/// Parses context-free grammars as llama.cpp's GBNF writes them: rules `name ::= …` of literals, character classes, names,
/// groups, `|`, `*`, `+`, `?`, `{m,n}` and comments. A text of the grammar is one of its rule `root`.
struct GrammarParser {
    /// What a rule says, before it is known which rules there are.
    private indirect enum Expression {
        case pattern(Pattern)
        case name(String)
        case sequence([Expression])
        case alternation([Expression])
        case repetition(Expression, atLeast: Int, atMost: Int?)
    }

    private let scalars: [Unicode.Scalar]
    private let limits: GrammarLimits
    private var index = 0
    private var depth = 0
    private var rules: [String: Expression] = [:]
    private var numbers: [String: Int] = [:]

    private static let maximumRepetitions = 100_000

    init(_ text: String, limits: GrammarLimits) throws(GrammarError) {
        guard text.utf8.count <= limits.sourceBytes else {
            throw .tooComplex("the grammar has more than \(limits.sourceBytes) bytes")
        }
        scalars = Array(text.unicodeScalars)
        self.limits = limits
        skipSpace(newLines: true)
        while index < scalars.count {
            let name = try self.name()
            skipSpace(newLines: true)
            for scalar in "::=".unicodeScalars {
                guard accept(scalar) else { throw failure("expected '::=' behind '\(name)'") }
            }
            skipSpace(newLines: true)
            guard rules[name] == nil else { throw failure("the rule '\(name)' is there twice") }
            rules[name] = try alternation(isNested: false)
            skipSpace(newLines: true)
        }
        guard rules["root"] != nil else { throw .malformed("the grammar has no rule 'root'") }
    }

    private func failure(_ what: String) -> GrammarError {
        let line = scalars[..<min(index, scalars.count)].count { $0 == "\n" } + 1
        return .malformed("the grammar, line \(line): \(what)")
    }

    // MARK: Nodes

    mutating func nodes(
        _ builder: inout AutomatonBuilder, _ next: AutomatonBuilder.NodeID
    ) throws(GrammarError) -> AutomatonBuilder.NodeID {
        for name in rules.keys.sorted() { numbers[name] = builder.declareRule() }
        for (name, expression) in rules.sorted(by: { $0.key < $1.key }) {
            try builder.define(numbers[name] ?? 0, nodes(expression, &builder, builder.end))
        }
        return try builder.call(numbers["root"] ?? 0, next)
    }

    private func nodes(
        _ expression: Expression, _ builder: inout AutomatonBuilder, _ next: AutomatonBuilder.NodeID
    ) throws(GrammarError) -> AutomatonBuilder.NodeID {
        switch expression {
        case .pattern(let pattern): return try builder.pattern(pattern, .plain, next)
        case .name(let name):
            guard let rule = numbers[name] else { throw .malformed("the grammar has no rule '\(name)'") }
            return try builder.call(rule, next)
        case .sequence(let parts):
            var next = next
            for part in parts.reversed() { next = try nodes(part, &builder, next) }
            return next
        case .alternation(let parts):
            var targets: [AutomatonBuilder.NodeID] = []
            for part in parts { targets.append(try nodes(part, &builder, next)) }
            return try builder.choice(targets)
        case .repetition(let part, let atLeast, let atMost):
            return try builder.repeated(atLeast: atLeast, atMost: atMost, next) {
                (builder, next) throws(GrammarError) in
                try nodes(part, &builder, next)
            }
        }
    }

    // MARK: Text

    private var current: Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }

    private mutating func accept(_ scalar: Unicode.Scalar) -> Bool {
        guard current == scalar else { return false }
        index += 1
        return true
    }

    private mutating func skipSpace(newLines: Bool) {
        while let scalar = current {
            if scalar == "#" {
                while let scalar = current, scalar != "\n" { _ = accept(scalar) }
            } else if scalar == " " || scalar == "\t" || (newLines && (scalar == "\n" || scalar == "\r")) {
                index += 1
            } else {
                return
            }
        }
    }

    private static func isName(_ scalar: Unicode.Scalar) -> Bool {
        ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || ("0"..."9").contains(scalar) || scalar == "-"
            || scalar == "_"
    }

    private mutating func name() throws(GrammarError) -> String {
        var name = ""
        while let scalar = current, Self.isName(scalar) {
            name.unicodeScalars.append(scalar)
            index += 1
        }
        guard !name.isEmpty else { throw failure("expected the name of a rule") }
        return name
    }

    // MARK: Expressions

    private mutating func alternation(isNested: Bool) throws(GrammarError) -> Expression {
        depth += 1
        defer { depth -= 1 }
        guard depth <= limits.depth else { throw failure("it is nested too deeply") }
        var parts = [try sequence(isNested: isNested)]
        while true {
            skipSpace(newLines: isNested || isAtContinuedLine)
            guard accept("|") else { break }
            skipSpace(newLines: true)
            parts.append(try sequence(isNested: isNested))
        }
        return parts.count == 1 ? parts[0] : .alternation(parts)
    }

    /// Whether the next line goes on with another alternative.
    private var isAtContinuedLine: Bool {
        let rest = scalars[index...].drop { $0 == " " || $0 == "\t" || $0 == "\n" || $0 == "\r" }
        return rest.first == "|"
    }

    private mutating func sequence(isNested: Bool) throws(GrammarError) -> Expression {
        var parts: [Expression] = []
        while true {
            skipSpace(newLines: isNested)
            guard let scalar = current, scalar != "|", scalar != ")", scalar != "\n", scalar != "\r" else { break }
            parts.append(try repeated(try atom()))
        }
        return parts.count == 1 ? parts[0] : .sequence(parts)
    }

    private mutating func atom() throws(GrammarError) -> Expression {
        guard let scalar = current else { throw failure("it ends too early") }
        switch scalar {
        case "\"":
            index += 1
            var parts: [Pattern] = []
            while !accept("\"") { parts.append(.set(ScalarSet(try character()))) }
            return .pattern(.sequence(parts))
        case "[":
            index += 1
            let isInverted = accept("^")
            var ranges: [ClosedRange<UInt32>] = []
            while !accept("]") {
                let first = try character().value
                var last = first
                if current == "-", index + 1 < scalars.count, scalars[index + 1] != "]" {
                    index += 1
                    last = try character().value
                }
                guard first <= last else { throw failure("a range in the wrong order") }
                ranges.append(first...last)
            }
            let set = ScalarSet(ranges)
            return .pattern(.set(isInverted ? set.inverted : set))
        case "(":
            index += 1
            let inner = try alternation(isNested: true)
            skipSpace(newLines: true)
            guard accept(")") else { throw failure("an unmatched '('") }
            return inner
        case ".":
            index += 1
            return .pattern(.set(.all))
        default:
            guard Self.isName(scalar) else { throw failure("unexpected '\(scalar)'") }
            return .name(try name())
        }
    }

    private mutating func character() throws(GrammarError) -> Unicode.Scalar {
        guard let scalar = current, scalar != "\n" else { throw failure("a text or a class without an end") }
        index += 1
        guard scalar == "\\" else { return scalar }
        guard let escaped = current else { throw failure("it ends in the middle of an escape") }
        index += 1
        switch escaped {
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "x": return try hexadecimal(2)
        case "u": return try hexadecimal(4)
        case "U": return try hexadecimal(8)
        case "\\", "\"", "[", "]", "-", "^", "/", "'": return escaped
        default: throw failure("an unknown escape '\\\(escaped)'")
        }
    }

    private mutating func hexadecimal(_ count: Int) throws(GrammarError) -> Unicode.Scalar {
        guard index + count <= scalars.count else { throw failure("a malformed escape") }
        var value: UInt32 = 0
        for scalar in scalars[index..<index + count] {
            guard scalar.isASCII, let digit = Character(scalar).hexDigitValue else {
                throw failure("a malformed escape")
            }
            value = value << 4 | UInt32(digit)
        }
        index += count
        guard let scalar = Unicode.Scalar(value) else { throw failure("an escape that is no character") }
        return scalar
    }

    private mutating func repeated(_ part: Expression) throws(GrammarError) -> Expression {
        var part = part
        for _ in 0..<limits.depth {
            switch current {
            case "*": part = .repetition(part, atLeast: 0, atMost: nil)
            case "+": part = .repetition(part, atLeast: 1, atMost: nil)
            case "?": part = .repetition(part, atLeast: 0, atMost: 1)
            case "{":
                index += 1
                guard let low = try number() else { throw failure("a malformed repetition") }
                var high: Int? = low
                if accept(",") { high = try number() }
                guard current == "}", low <= high ?? .max else { throw failure("a malformed repetition") }
                part = .repetition(part, atLeast: low, atMost: high)
            default: return part
            }
            index += 1
        }
        throw failure("it is nested too deeply")
    }

    private mutating func number() throws(GrammarError) -> Int? {
        skipSpace(newLines: false)
        var value: Int?
        while let scalar = current, ("0"..."9").contains(scalar) {
            value = (value ?? 0) * 10 + Int(scalar.value - 0x30)
            guard let value, value <= Self.maximumRepetitions else {
                throw .tooComplex("the grammar repeats something more than \(Self.maximumRepetitions) times")
            }
            index += 1
        }
        skipSpace(newLines: false)
        return value
    }
}
