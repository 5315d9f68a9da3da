import TestSupport
import Testing

@testable import MartletTokenizers

@Suite struct BPETests {
    /// A word of random letters and random merges: whatever the path, the result is that of the definition.
    @Test(arguments: [3, 20, 60, 300]) func mergesAsDefined(_ length: Int) throws {
        var generator = TestGenerator(seed: UInt64(length))
        for round in 0..<40 {
            // Shuffled ranks: later merges may build tokens of lower rank, which training never does.
            var (words, merges) = Self.randomMerges(&generator, shuffled: round % 2 == 0)
            words.buildIndex()
            let bpe = BPE(alphabet: .bytes, words: words, merges: merges, options: BPE.Options())
            let word = (0..<length).map { _ in UInt8.random(in: 97...99, using: &generator) }
            var scratch = BPEScratch(textLength: 0)
            var output: [TokenID] = []
            word.withUnsafeBufferPointer { bpe.encode($0, &scratch, &output) }
            #expect(output == Self.reference(word.map { TokenID($0 - 97) }, merges))
        }
    }

    private static func randomMerges(_ generator: inout TestGenerator, shuffled: Bool) -> (ByteStringTable, PairTable) {
        var tokens: [[UInt8]] = [[97], [98], [99]]
        var pairs: [(Int, Int, Int)] = []
        while tokens.count < 40 {
            let left = Int.random(in: 0..<tokens.count, using: &generator)
            let right = Int.random(in: 0..<tokens.count, using: &generator)
            let joined = tokens[left] + tokens[right]
            if joined.count > 12 || tokens.contains(joined) { continue }
            pairs.append((left, right, tokens.count))
            tokens.append(joined)
        }
        if shuffled { pairs.shuffle(using: &generator) }
        var words = ByteStringTable()
        for token in tokens { words.append(token) }
        var merges = PairTable(minimumCapacity: 4)
        for (rank, (left, right, result)) in pairs.enumerated() {
            merges.insert(TokenID(left), TokenID(right), PairTable.Merge(rank: UInt32(rank), result: TokenID(result)))
        }
        return (words, merges)
    }

    private static func reference(_ symbols: [TokenID], _ merges: PairTable) -> [TokenID] {
        var symbols = symbols
        while true {
            var best: (rank: UInt32, index: Int, result: TokenID)?
            for index in 0..<max(symbols.count - 1, 0) {
                if let merge = merges.find(symbols[index], symbols[index + 1]), merge.rank < best?.rank ?? .max {
                    best = (merge.rank, index, merge.result)
                }
            }
            guard let best else { return symbols }
            symbols[best.index] = best.result
            symbols.remove(at: best.index + 1)
        }
    }

    /// One word of 300,000 symbols: with quadratic merging this is 10^10 steps.
    @Test(.timeLimit(.minutes(1)), arguments: ["a", "abc", " ", "ab "]) func longWords(_ unit: String) throws {
        var vocabulary = GGUFVocabulary(
            model: "gpt2", pre: "gpt-2",
            tokens: ["a", "b", "c", "Ġ", "aa", "aaaa", "ab", "abc", "ĠĠ", "ĠĠĠĠ"].map { Array($0.utf8) })
        vocabulary.merges = ["a a", "aa aa", "a b", "ab c", "Ġ Ġ", "ĠĠ ĠĠ"].map { Array($0.utf8) }
        let tokenizer = try Tokenizer(gguf: vocabulary)
        let text = String(repeating: unit, count: 300_000 / unit.utf8.count)
        let ids = tokenizer.encode(text)
        #expect(tokenizer.decode(ids) == text)
    }

    /// The cache must give what the model gives, also when words push each other out.
    @Test func cachedWordsAreTheSame() throws {
        let tokenizer = try Tokenizer(tokenizerJSON: try FixtureFile.bytes("synthetic/byte-level-added.json"))
        let words = (0..<5000).map { "word\($0 % 700) " }
        let whole = tokenizer.encode(words.joined())
        // Short texts are not cached. A leading space is what the words have inside the text.
        let parts = words.enumerated().flatMap { index, _ in
            tokenizer.encode(index == 0 ? "word0" : " word\(index % 700)")
        }
        #expect(whole.dropLast() == parts[...])
    }
}
