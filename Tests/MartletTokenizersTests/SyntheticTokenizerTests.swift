import MartletJSON
import Testing

@testable import MartletTokenizers

/// Small tokenizers that the reference library trained, on random strings.
@Suite struct SyntheticTokenizerTests {
    @Test(
        "ids and text",
        arguments: ["bpe-fused-unknown", "bpe-single-unknown", "byte-level-added", "unigram", "unigram-bytes"])
    func cases(_ name: String) throws {
        let tokenizer = try Tokenizer(tokenizerJSON: try FixtureFile.bytes("synthetic/\(name).json"))
        let fixture = try FixtureFile.json("synthetic-cases.json")
        let strings = fixture["strings"].strings
        let expected = fixture["tokenizers"][name]
        let ids = try #require(expected["ids"].array)
        let idsWithSpecial = try #require(expected["ids_with_special"].array)
        let decoded = expected["decoded"].strings
        #expect(strings.count == 120 && ids.count == 120 && decoded.count == 120)
        for (index, string) in strings.enumerated() {
            let context = "\(name) \(shown(string))"
            #expect(tokenizer.encode(bytes: string, parseSpecial: true) == ids[index].tokens, "\(context)")
            let withSpecial = tokenizer.encode(bytes: string, addSpecialTokens: true, parseSpecial: true)
            #expect(withSpecial == idsWithSpecial[index].tokens, "\(context)")
            let text = tokenizer.decode(ids[index].tokens, skipSpecialTokens: false)
            #expect(Array(text.utf8) == decoded[index], "\(context)")
        }
    }

    /// Cutting SentencePiece text at seams must not change anything.
    @Test func seamsAreExact() throws {
        let bytes = try FixtureFile.bytes("synthetic/bpe-fused-unknown.json")
        let file = try TokenizerFile(bytes)
        let (words, _) = try file.tokensByID([])
        var table = words
        table.buildIndex()
        var merges = PairTable(minimumCapacity: 16)
        for index in 0..<(file.merges.count / 2) {
            let (left, right) = (Array(file.merges[2 * index]), Array(file.merges[2 * index + 1]))
            merges.insert(
                TokenID(try #require(table.find(left))), TokenID(try #require(table.find(right))),
                PairTable.Merge(rank: UInt32(index), result: TokenID(try #require(table.find(left + right)))))
        }
        // An unknown token that fuses rules cutting out; without one cutting is allowed.
        var fusing = BPE.Options()
        fusing.unknown = 0
        fusing.fusesUnknown = true
        let whole = BPE(alphabet: .scalars, words: table, merges: merges, options: fusing)
        let cut = BPE(alphabet: .scalars, words: table, merges: merges, options: BPE.Options())
        for string in try FixtureFile.json("synthetic-cases.json")["strings"].strings {
            let known = String(decoding: string, as: UTF8.self).unicodeScalars.filter {
                table.find(Array(String($0).utf8)) != nil
            }
            let text = Array(String(String.UnicodeScalarView(known)).utf8)
            #expect(tokens(whole, text) == tokens(cut, text), "\(shown(text))")
        }
    }

    private func tokens(_ bpe: BPE, _ text: [UInt8]) -> [TokenID] {
        var scratch = BPEScratch(textLength: text.count)
        var output: [TokenID] = []
        text.withUnsafeBufferPointer { bpe.encode($0, &scratch, &output) }
        return output
    }
}
