import MartletGrammar
import TestSupport

/// Every byte, and some longer tokens that cut texts where it hurts.
enum Vocabulary {
    static let words = [
        "\":", "\", \"", "{\"", "\"}", "ab", "abc", "  ", "}}", "]}", "true", "null", "12", "0.5", "\n    ", "é",
        "\\u00",
        "aa", "2024", ",\"", "\"a\"",
    ]
    static let trie: TokenTrie = {
        var entries: [(bytes: [UInt8], token: Int32)] = (0...255).map { ([UInt8($0)], Int32($0)) }
        for (index, word) in words.enumerated() { entries.append((Array(word.utf8), Int32(256 + index))) }
        return TokenTrie(entries, vocabularySize: 256 + words.count)
    }()

    static func grammar(_ structure: OutputStructure, limits: GrammarLimits = .init()) throws -> Grammar {
        try Grammar(structure, trie, limits: limits)
    }
}

extension Grammar {
    /// A text that masks lead to. The longer it gets, the likelier is what closes something.
    ///
    /// - Returns: nil where it found no end, as lists without a bound may.
    func randomText(_ seed: UInt64, steps: Int = 600) throws -> String? {
        var random = TestGenerator(seed: seed)
        var matcher = GrammarMatcher(self)
        var bytes: [UInt8] = []
        for step in 0..<steps {
            let (mask, isComplete) = try matcher.mask()
            let tokens = mask.tokens
            if isComplete, tokens.isEmpty || Int.random(in: 0..<4, using: &random) == 0 || step > 30 {
                return String(decoding: bytes, as: UTF8.self)
            }
            guard var token = tokens.randomElement(using: &random) else { throw DeadEnd(text: bytes) }
            let closers = tokens.filter { [[0x22], [0x7D], [0x5D]].contains(trie.text($0)) }
            if Int.random(in: 0..<40, using: &random) < step, let closer = closers.randomElement(using: &random) {
                token = closer
            }
            bytes += trie.text(token)
            matcher.accept(token)
        }
        return nil
    }

    struct DeadEnd: Error { var text: [UInt8] }
}
