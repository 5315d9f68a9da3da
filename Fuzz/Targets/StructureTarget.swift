import MartletGrammar
import MartletJinja
import TestSupport

extension FuzzTarget {
    /// The first byte says which kind of structure the others are. What compiles is followed along its masks: there is always
    /// a token that goes on or an end, and what ends is a text of that form.
    static let structure = FuzzTarget(name: "structure", longest: 4096) {
        var seeds = schemas.map { [UInt8(ascii: "S")] + Array($0.utf8) }
        seeds += patterns.map { [UInt8(ascii: "R")] + Array($0.utf8) }
        seeds += grammars.map { [UInt8(ascii: "G")] + Array($0.utf8) }
        seeds.append(Array("Cyes\nno\nyesterday\nñ".utf8))
        return seeds
    } read: { bytes in
        let text = String(decoding: bytes.dropFirst(), as: UTF8.self)
        let structure: OutputStructure =
            switch bytes.first {
            case UInt8(ascii: "R"): .regex(text)
            case UInt8(ascii: "G"): .grammar(text)
            case UInt8(ascii: "C"): .choice(text.split(separator: "\n").map(String.init))
            default: .jsonSchema(text)
            }
        var limits = GrammarLimits()
        limits.nodes = 20_000
        limits.patternStates = 300
        limits.alternatives = 128
        limits.time = .milliseconds(300)
        limits.configurations = 256
        limits.work = 100_000
        limits.cacheBytes = 1 << 20
        do {
            let grammar = try Grammar(structure, vocabulary, limits: limits)
            try follow(grammar, structure, seed: bytes.fingerprint)
        } catch {
            precondition(!"\(error)".isEmpty)
        }
    }

    private static func follow(_ grammar: Grammar, _ structure: OutputStructure, seed: UInt64) throws(GrammarError) {
        var random = TestGenerator(seed: seed)
        var matcher = GrammarMatcher(grammar)
        var answer: [UInt8] = []
        for step in 0..<60 {
            let (mask, isComplete) = try matcher.mask()
            let tokens = mask.tokens
            precondition(isComplete || !tokens.isEmpty, "nothing may follow \(answer)")
            if isComplete, tokens.isEmpty || step > 20 || random.below(4) == 0 {
                let isOfTheForm = try grammar.matches(answer)
                precondition(isOfTheForm)
                switch structure {
                case .jsonSchema:
                    do {
                        _ = try Value(strictJSON: answer)
                    } catch {
                        // Members that the schema doesn't list may have the same name: no automaton of useful size knows
                        // which names were there. Their values are all valid, so whichever a reader keeps is.
                        let isOfDoubleNames = error.message.hasSuffix("a key that comes twice")
                        precondition(isOfDoubleNames, "\(error.message): \(String(decoding: answer, as: UTF8.self))")
                    }
                case .choice(let texts): precondition(texts.contains { $0.utf8.elementsEqual(answer) })
                default: break
                }
                return
            }
            let closers = tokens.filter { [[0x22], [0x7D], [0x5D]].contains(vocabulary.text($0)) }
            let token =
                random.below(30) < step && !closers.isEmpty
                ? closers[random.below(closers.count)] : tokens[random.below(tokens.count)]
            answer += vocabulary.text(token)
            matcher.accept(token)
        }
    }

    /// Every byte, and some longer tokens that cut texts where it hurts.
    private static let vocabulary: TokenTrie = {
        let words = ["\":", "\", \"", "{\"", "\"}", "ab", "  ", "}}", "true", "null", "0.5", "é", "\\u00", ",\""]
        var entries: [(bytes: [UInt8], token: Int32)] = (0...255).map { ([UInt8($0)], Int32($0)) }
        for (index, word) in words.enumerated() { entries.append((Array(word.utf8), Int32(256 + index))) }
        return TokenTrie(entries, vocabularySize: 256 + words.count)
    }()

    private static let schemas = [
        "true", #"{"type": ["string", "null", "integer"], "maxLength": 3, "minimum": 7}"#,
        #"{"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "boolean"}}, "required": ["b"], "additionalProperties": {"type": "number"}}"#,
        #"{"type": "object", "patternProperties": {"^x": {"type": "integer"}, "y$": {"type": "string"}}, "additionalProperties": false}"#,
        #"{"propertyNames": {"pattern": "^[ab]{1,2}$"}, "type": "object", "minProperties": 2, "maxProperties": 3}"#,
        #"{"type": "array", "prefixItems": [{"type": "null"}], "items": {"enum": ["é", "\n", 2.5]}, "minItems": 1, "maxItems": 4}"#,
        #"{"type": "string", "allOf": [{"pattern": "a"}, {"pattern": "b$"}], "minLength": 3}"#,
        #"{"type": "integer", "multipleOf": 7, "minimum": -50, "exclusiveMaximum": 100}"#,
        #"{"type": "number", "minimum": 0.25, "exclusiveMaximum": 12.5}"#,
        #"{"type": "string", "format": "date-time"}"#,
        #"{"oneOf": [{"type": "object", "properties": {"k": {"const": "a"}}, "required": ["k"]}, {"type": "null"}]}"#,
        ##"{"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["v", "next"], "additionalProperties": false}}}"##,
        #"{"anyOf": [{"const": {"a": [], "b": "ü"}}, {"not": {}}], "title": "x", "default": 1}"#,
    ]

    private static let patterns = [
        "(a|b)*c{2,3}", #"\d{3}-\d{4}"#, "(a+)+$", #"\p{Lu}\p{Ll}*[^a-c\n]"#, #"(?<year>\d{4})?x|^foo$"#,
        #"[\u{1F600}-\u{1F64F}]\x41\u0042\n[\b]"#, "(?:a{2,5}){3}", "(a|aa|ab){1,40}",
    ]

    private static let grammars = [
        "# sums\nroot ::= term (\"+\" term)*\nterm ::= [0-9]+ | \"(\" root \")\"\n",
        #"root ::= "x" root? | "y"{2,3} [^a\]]{1} . "#,
        "root ::= a b\na ::= \"\\x41\" | \"\\u00e9\"\nb ::= [a-z]{0,5}\n",
    ]
}
