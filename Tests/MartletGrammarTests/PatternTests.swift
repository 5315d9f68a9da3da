import MartletGrammar
import TestSupport
import Testing

/// Regular expressions, choices and context-free grammars.
struct PatternTests {
    private static func matches(_ structure: OutputStructure, _ text: String) throws -> Bool {
        try Vocabulary.grammar(structure).matches(Array(text.utf8))
    }

    @Test(arguments: [
        ("(a|b)*c{2,3}", ["cc", "abacc", "ccc"], ["c", "ab", "cccc"]),
        (#"\d{3}-\d{4}"#, ["555-1234"], ["555-123", "٣٣٣-1234"]),
        ("(a+)+", ["a", "aaaa"], ["", "b"]),
        ("[^a-c]+", ["xyz", "é€😀"], ["", "xaz"]),
        (#"\p{Lu}\p{Ll}*"#, ["Äpfel", "X"], ["äpfel", ""]),
        (#"(?<year>\d{4})?x"#, ["2024x", "x"], ["24x"]),
        ("^(?:foo|bar)$", ["foo", "bar"], ["foobar", ""]),
        (#"[\u{1F600}-\u{1F64F}]"#, ["😀", "🙏"], ["🚀", "a"]),
        (#"\x41\u0042\n\t[\b]"#, ["AB\n\t\u{8}"], ["AB"]),
        (".", ["a", "\u{2027}"], ["\n", "\u{2028}", "ab"]),
        ("a{2,}b{0}", ["aa", "aaaa"], ["a", "aab"]),
        ("", [""], ["a"]),
        (
            "(?:a{2,5}){3}", ["aaaaaa", String(repeating: "a", count: 15)],
            ["aaaaa", String(repeating: "a", count: 16)]
        ),
    ]) func expressionsMatchWholeTexts(_ expression: String, _ yes: [String], _ no: [String]) throws {
        for text in yes { #expect(try Self.matches(.regex(expression), text), "\(text)") }
        for text in no { #expect(try !Self.matches(.regex(expression), text), "\(text)") }
    }

    @Test(arguments: [
        "(", ")", "[a", "a**", "*", "a{2,1}", "(?=a)", "(?!a)", "(?<=a)", #"(a)\1"#, #"\b"#, "a^b", "a$b", "(^a|b)",
        #"\q"#,
        #"\u12"#, #"\p{Nonsense}"#, "(?i)a", "[b-a]", #"[\d-z]"#, "a{100001}", #"\"#, "(?", "(?<", "(?<a", "[",
        String(repeating: "(", count: 100_000),
    ]) func malformedAndIrregularExpressionsAreRefused(_ expression: String) {
        #expect(throws: GrammarError.self) { try Vocabulary.grammar(.regex(expression)) }
    }

    @Test func choicesAreOneOfTheirTexts() throws {
        let texts = ["yes", "no", "yesterday", "ñ", "no"]
        for text in texts { #expect(try Self.matches(.choice(texts), text)) }
        for text in ["", "y", "yest", "nono"] { #expect(try !Self.matches(.choice(texts), text)) }
        #expect(throws: GrammarError.self) { try Vocabulary.grammar(.choice([])) }
        #expect(throws: GrammarError.self) { try Vocabulary.grammar(.choice(["a", ""])) }
        let many = (0..<10_000).map { "value \($0 &* 7919)" }
        #expect(try Self.matches(.choice(many), many[9_999]))
    }

    @Test func grammarsMayCallThemselves() throws {
        let sums = OutputStructure.grammar(
            """
            # sums in parentheses
            root ::= term ("+" term)*
            term ::= [0-9]+
                   | "(" root ")"
            """)
        for text in ["1", "1+23", "(1+2)+3", "((((7))))"] { #expect(try Self.matches(sums, text)) }
        for text in ["", "1+", "(1", "1)", "((1)"] { #expect(try !Self.matches(sums, text)) }
        let list = OutputStructure.grammar(#"root ::= "x" root? | "y"{2,3} [^a\]]{1} . "#)
        for text in ["x", "xxxx", "xyyb\n"] { #expect(try Self.matches(list, text)) }
        for text in ["", "yy", "yya.", "yyyyyy"] { #expect(try !Self.matches(list, text)) }
    }

    @Test(arguments: [
        #"root ::= root "a" | "b""#, "root ::= a\na ::= b\nb ::= root", #"root ::= "a"? root "b""#, #"nope ::= "x""#,
        "root ::= foo", #"root ::= "a"#, "root ::= [a", "root ::= (", "root = \"a\"", "root ::= \"a\" )", "",
        "root ::= \"a\"\nroot ::= \"b\"", #"root ::= "(" root ")""#,
        "root ::= \"a\"" + String(repeating: "?", count: 1000),
        "root ::= " + String(repeating: "(", count: 100_000),
    ]) func brokenGrammarsAreRefused(_ grammar: String) {
        #expect(throws: GrammarError.self) { try Vocabulary.grammar(.grammar(grammar)) }
    }

    /// Compiled structures are kept and looked up by what they are.
    @Test func structuresAreEqualByTheirBytes() {
        let (composed, decomposed) = ("\u{E9}", "e\u{301}")
        for make in [OutputStructure.jsonSchema, OutputStructure.regex, OutputStructure.grammar] {
            #expect(make(composed) == make(composed) && make(composed) != make(decomposed))
        }
        #expect(OutputStructure.choice(["a", composed]) != .choice(["a", decomposed]))
        let list = OutputStructure.list(.choice([composed]), separator: ",", atLeast: 1, atMost: 2)
        #expect(OutputStructure.sequence([.json, list]) == .sequence([.json, list]))
        #expect(OutputStructure.sequence([.json, list]) != .sequence([.json, .choice([decomposed])]))
    }

    @Test func structuresArePutTogether() throws {
        let call = OutputStructure.sequence([.choice(["<a>"]), .regex("[0-9]+"), .choice(["</a>"])])
        let calls = OutputStructure.list(call, separator: "\n", atLeast: 0, atMost: 2)
        let structure = OutputStructure.sequence([.textWithout("<a>"), calls])
        for text in ["", "Hello <a", "<<a <b>", "x<a>1</a>", "<a>1</a>\n<a>2</a>"] {
            #expect(try Self.matches(structure, text), "\(text)")
        }
        for text in ["<a>", "x<a>1</a>y", "<a>1</a><a>2</a>", "<a>1</a>\n<a>2</a>\n<a>3</a>"] {
            #expect(try !Self.matches(structure, text), "\(text)")
        }
    }

    /// Masks are exactly the tokens after which a text can go on: compared with trying every token on its own.
    @Test(arguments: [
        OutputStructure.regex(#"(?:ab|abc)+ {1,3}[é€]?true"#), .json, .choice(["abc", "abacus", "ab"]),
        .regex("(a|aa|ab){1,40}"),
    ]) func masksAreExact(_ structure: OutputStructure) throws {
        let grammar = try Vocabulary.grammar(structure)
        for seed in 0..<5 {
            var random = TestGenerator(seed: UInt64(seed))
            var matcher = GrammarMatcher(grammar)
            for _ in 0..<40 {
                let (mask, _) = try matcher.mask()
                let tokens = mask.tokens
                for token in 0..<Int32(grammar.trie.vocabularySize) {
                    var next = matcher
                    next.accept(token)
                    let (following, isComplete) = try next.mask()
                    #expect(mask.contains(token) == (isComplete || !following.isEmpty))
                }
                guard let token = tokens.randomElement(using: &random) else { break }
                matcher.accept(token)
            }
        }
    }

    @Test func aGrammarThatForgetsItsStatesGoesOn() throws {
        var limits = GrammarLimits()
        limits.cacheBytes = 20_000
        let small = try Vocabulary.grammar(.json, limits: limits)
        let large = try Vocabulary.grammar(.json)
        for seed in 0..<20 {
            #expect(try small.randomText(UInt64(seed)) == large.randomText(UInt64(seed)))
        }
    }

    /// A vocabulary whose words begin with a space, which a text loses at its start.
    @Test func aSpaceAtTheStartDoesNotCount() throws {
        let entries: [(bytes: [UInt8], token: Int32)] = [
            (Array(" yes".utf8), 0), (Array("yes".utf8), 1), (Array(" ".utf8), 2), (Array("no".utf8), 3),
            (Array(" no".utf8), 4),
        ]
        let trie = TokenTrie(entries, vocabularySize: 5, leadingSpaces: 1)
        let grammar = try Grammar(.choice(["yes", "no no"]), trie)
        var matcher = GrammarMatcher(grammar)
        let first = try matcher.mask().tokens
        #expect((0..<5).map { first.contains(Int32($0)) } == [true, true, true, true, true])
        matcher.accept(4)
        let second = try matcher.mask().tokens
        #expect((0..<5).map { second.contains(Int32($0)) } == [false, false, true, false, true])
        var spaced = GrammarMatcher(grammar)
        spaced.accept(2)
        let third = try spaced.mask().tokens
        #expect((0..<5).map { third.contains(Int32($0)) } == [false, true, false, true, false])
        // Not at the start of a text, it does.
        let continued = try GrammarMatcher(grammar, continuesText: true).mask().tokens
        #expect((0..<5).map { continued.contains(Int32($0)) } == [false, true, false, true, false])
    }

    /// Each is refused, or its masks come within the limits of time.
    @Test(arguments: [
        "((a{0,100}){0,100}){0,100}", "(a|aa){1,1000}", "(.*a.*){50}", "(a?){1000}a{1000}", "(((a*)*)*)*",
        "(a|b|ab)*{2}",
        "(.{0,1000}){0,1000}x", "a{1,100000}",
    ]) func hostileExpressionsAreBounded(_ expression: String) throws {
        let start = ContinuousClock.now
        do {
            let grammar = try Vocabulary.grammar(.regex(expression))
            var matcher = GrammarMatcher(grammar)
            for _ in 0..<50 {
                _ = try matcher.mask()
                matcher.accept(0x61)
            }
        } catch {
            #expect(error is GrammarError)
        }
        // The limit is 0.7 s for compiling and 4 million visited places for a mask; far more means that there is none.
        #expect(ContinuousClock.now - start < .seconds(20))
    }
}
