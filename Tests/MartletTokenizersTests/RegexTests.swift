import TestSupport
import Testing

@testable import MartletTokenizers

@Suite struct RegexTests {
    private func matches(_ pattern: String, _ text: String) throws -> [String] {
        let program = try RegexProgram(pattern)
        let bytes = Array(text.utf8)
        var result: [String] = []
        bytes.withUnsafeBufferPointer { buffer in
            var matcher = RegexMatcher(program, text: buffer, regions: 1)
            matcher.forEachMatch(in: 0..<buffer.count) { start, end in
                result.append(String(decoding: buffer[start..<end], as: UTF8.self))
            }
        }
        return result
    }

    @Test func firstAlternativeWins() throws {
        #expect(try matches("a|ab", "ab") == ["a"])
        #expect(try matches("(?:a|ab)c", "abc") == ["abc"])
        #expect(try matches("(?:a|ab)(?:c|bcd)*", "abcd") == ["abcd"])
    }

    @Test func greedyLazyPossessive() throws {
        #expect(try matches("a+a", "aaa") == ["aaa"])
        #expect(try matches("a+?", "aaa") == ["a", "a", "a"])
        #expect(try matches("a++a|b", "aaab") == ["b"])
        #expect(try matches("a{2,3}", "aaaaaaa") == ["aaa", "aaa"])
        #expect(try matches("(?:ab){2}", "ababab") == ["abab"])
    }

    @Test func assertions() throws {
        #expect(try matches(#"\s+(?!\S)|\s+"#, "  a ") == [" ", " ", " "])
        #expect(try matches("a(?=b)", "abac") == ["a"])
        #expect(try matches("(?<=b)a", "aba") == ["a"])
        #expect(try matches("^a$", "a\na\nba") == ["a", "a"])
        #expect(try matches(#"\Aa"#, "a\na") == ["a"])
        #expect(try matches(#"\d{1,3}(?=(?:\d{3})*\b)"#, "1234567") == ["1", "234", "567"])
    }

    @Test func setsAndCase() throws {
        #expect(try matches("(?i:'s)", "'S 'ſ") == ["'S", "'ſ"])
        #expect(try matches(#"[^\s\p{L}]+"#, "a12 ½b") == ["12", "½"])
        #expect(try matches(#"[\p{L}&&[^a-c]]+"#, "abcdé") == ["dé"])
        #expect(try matches(#"[a\]\-z]+"#, "-]az") == ["-]az"])
        #expect(try matches(#"\x{E9}|\u00e8|\x41"#, "éèA") == ["é", "è", "A"])
    }

    @Test(arguments: [
        "(", ")", "[", "a**b(", "*", "\\", #"\1"#, #"\p{Klingon}"#, "(?<name>a)", "(?>a|b)c", "(?:a*)*", "a{3,2}",
        "a{2000}", "[z-a]", "[[:alpha:]]", #"\x{110000}"#, #"\uD800"#, "(?:ab)++",
        "(?:(?:(?:a{1000}b){1000}c){1000}d)",
    ])
    func refused(_ pattern: String) {
        #expect(throws: TokenizerError.self) { try RegexProgram(pattern) }
    }

    @Test func refusedForTheirSize() {
        for pattern in [
            String(repeating: "(?:", count: 100), String(repeating: "a", count: 20_000),
            "a" + String(repeating: "{1}", count: 5000),
        ] {
            #expect(throws: TokenizerError.self) { try RegexProgram(pattern) }
        }
    }

    /// What matches only the empty text needs no instructions, but compiling it a million times takes time.
    @Test(arguments: [
        "(?:){1024}{1024}{1024}{1024}{1024}", "(?:(?:(?:(?:){1024}){1024}){1024}){1024}",
        "(?:(?:|){0}(?:){1024}){1024}{1024}", "(?=(?:){1024}{1024}{1024}{1024})a",
    ])
    func refusedForTheTimeTheyTake(pattern: String) {
        #expect(throws: TokenizerError.self) { try RegexProgram(pattern) }
    }

    @Test func emptyRepetitionsMatchNothing() throws {
        #expect(try matches("(?:){3}a", "ba") == ["a"])
        #expect(try matches("(?:(?:){1024}){2}ab", "ab") == ["ab"])
    }

    /// Each of these takes quadratic or exponential time with plain backtracking.
    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            (#"\s*[\r\n]+|\s{1,2}"#, " "), (#"(?:a|a|b)*c|a"#, "a"), (#"(?:a?b?)a*c|a"#, "a"), (#"a*a*a*a*b|a"#, "a"),
            (#"\d{1,3}(?=(?:\d{3})*\b)"#, "1"), (#"a(?=a*$)"#, "a"), (#"a(?!a*b)"#, "a"), (#"(?:aa|a)+b|a"#, "a"),
            (#"(?:(?:a+b?)+c?)+d|a"#, "a"), (#"(?=(\d{3})+(?!\d))"#, "1"),
            ("a(?=a*)", "a"), ("a(?=a+b?)", "a"), ("a(?=(?:ab?)*)", "a"), ("a(?=a*+b?)|a", "a"), ("a++b|a", "a"),
        ])
    func linearTime(_ pattern: String, _ unit: String) throws {
        // Quadratic work on this would be 10^10 steps or more.
        let text = String(repeating: unit, count: 100_000)
        _ = try matches(pattern, text)
    }

    /// Random patterns over a tiny alphabet, against an obvious backtracking matcher.
    @Test func randomPatterns() throws {
        var generator = TestGenerator(seed: 42)
        for _ in 0..<1500 {
            let node = randomNode(&generator, depth: 3)
            let program = try RegexProgram(node, pattern: "\(node)")
            for _ in 0..<4 {
                let text = (0..<Int.random(in: 0...9, using: &generator)).map { _ in
                    "ab ".utf8.randomElement(using: &generator) ?? 0x61
                }
                var got: [[Int]] = []
                text.withUnsafeBufferPointer { buffer in
                    var matcher = RegexMatcher(program, text: buffer, regions: 1)
                    matcher.forEachMatch(in: 0..<buffer.count) { got.append([$0, $1]) }
                }
                #expect(got == reference(node, text), "\(node) on \(shown(text))")
            }
        }
    }

    private func randomNode(_ generator: inout TestGenerator, depth: Int) -> RegexNode {
        let set = RegexNode.set(
            [ScalarSet("a"), ScalarSet("b"), ScalarSet("a").inverted][Int.random(in: 0...2, using: &generator)])
        if depth == 0 { return set }
        switch Int.random(in: 0...6, using: &generator) {
        case 0: return set
        case 1, 2:
            return .sequence(
                (0..<Int.random(in: 1...3, using: &generator)).map { _ in randomNode(&generator, depth: depth - 1) })
        case 3:
            return .alternation(
                (0..<Int.random(in: 2...3, using: &generator)).map { _ in randomNode(&generator, depth: depth - 1) })
        case 4: return .lookahead(randomNode(&generator, depth: depth - 1), negated: Bool.random(using: &generator))
        case 5:
            return .repetition(
                set, minimum: Int.random(in: 0...2, using: &generator),
                maximum: [nil, 2, 3][Int.random(in: 0...2, using: &generator)],
                greed: [.greedy, .lazy, .possessive][Int.random(in: 0...2, using: &generator)])
        default:
            let inner = randomNode(&generator, depth: depth - 1)
            let maximum = inner.canBeEmpty ? 2 : nil
            return .repetition(
                inner, minimum: Int.random(in: 0...1, using: &generator), maximum: maximum,
                greed: Bool.random(using: &generator) ? .greedy : .lazy)
        }
    }

    private func reference(_ node: RegexNode, _ text: [UInt8]) -> [[Int]] {
        var result: [[Int]] = []
        var position = 0
        var previousEnd = -1
        while position <= text.count {
            let end = Self.match(node, text, position) { $0 } ?? -1
            if end >= 0, end > position || end != previousEnd {
                result.append([position, end])
                previousEnd = end
            }
            position = max(end, position + 1)
        }
        return result
    }

    /// The end that `rest` accepts first, with continuations: the textbook definition of backtracking.
    private static func match(_ node: RegexNode, _ text: [UInt8], _ at: Int, _ rest: (Int) -> Int?) -> Int? {
        switch node {
        case .empty: return rest(at)
        case .set(let set):
            let isIn = at < text.count && set.ranges.contains { $0.contains(UInt32(text[at])) }
            return isIn ? rest(at + 1) : nil
        case .sequence(let nodes):
            guard let first = nodes.first else { return rest(at) }
            return match(first, text, at) { match(.sequence(Array(nodes.dropFirst())), text, $0, rest) }
        case .alternation(let nodes):
            for node in nodes { if let end = match(node, text, at, rest) { return end } }
            return nil
        case .lookahead(let node, let negated): return (match(node, text, at) { $0 } != nil) != negated ? rest(at) : nil
        case .repetition(let node, let minimum, let maximum, let greed):
            if greed == .possessive {
                var (position, count) = (at, 0)
                while count < maximum ?? .max, let next = match(node, text, position, { $0 }) {
                    position = next
                    count += 1
                }
                return count >= minimum ? rest(position) : nil
            }
            func more() -> Int? {
                if let maximum, maximum == 0 { return nil }
                return match(node, text, at) {
                    match(
                        .repetition(node, minimum: max(minimum - 1, 0), maximum: maximum.map { $0 - 1 }, greed: greed),
                        text, $0, rest)
                }
            }
            if minimum > 0 { return more() }
            return greed == .lazy ? rest(at) ?? more() : more() ?? rest(at)
        case .anchor, .lookbehind: return nil
        }
    }
}
