import Foundation
import MartletJSON
import TestSupport
import Testing

@testable import MartletTokenizers

/// Ids and text of the published tokenizers, as the reference library gives them.
@Suite struct PublishedTokenizerTests {
    static func file(_ name: String) -> URL? { SharedFixtures.url("tokenizer-files/\(name)/tokenizer.json") }

    private func check(_ tokenizer: Tokenizer, against name: String) throws {
        let cases = try #require(try FixtureFile.json("published/\(name).json")["cases"].array)
        #expect(cases.count > 200)
        for entry in cases {
            let text = try #require(entry["text"].bytes)
            let ids = entry["ids"].tokens
            #expect(tokenizer.encode(bytes: text, parseSpecial: true) == ids, "\(name) \(shown(text))")
            if entry["ids_with_special"].array != nil {
                let withSpecial = tokenizer.encode(bytes: text, addSpecialTokens: true, parseSpecial: true)
                #expect(withSpecial == entry["ids_with_special"].tokens, "\(name) \(shown(text))")
            }
            let decoded = tokenizer.decode(ids, skipSpecialTokens: false)
            #expect(Array(decoded.utf8) == entry["decoded"].bytes, "\(name) \(shown(text))")
            if let expected = entry["decoded_skip_special"].bytes {
                #expect(Array(tokenizer.decode(ids, skipSpecialTokens: true).utf8) == expected)
            }
            var stream = StreamingDetokenizer(tokenizer, skipSpecialTokens: false)
            var streamed = ids.map { stream.append($0) }.joined()
            streamed += stream.finish()
            #expect(Array(streamed.utf8) == Array(decoded.utf8), "\(name) \(shown(text))")
        }
    }

    @Test(
        "SmolLM2 tokenizer.json",
        .enabled(if: file("smollm2") != nil, "shared/fixtures/tokenizer-files/smollm2 is absent"))
    func smolLM2() throws { try checkFile("smollm2") }

    @Test(
        "Llama 3.2 tokenizer.json",
        .enabled(if: file("llama3.2") != nil, "shared/fixtures/tokenizer-files/llama3.2 is absent"))
    func llama3() throws { try checkFile("llama3.2") }

    @Test("Qwen3 tokenizer.json", .enabled(if: file("qwen3") != nil, "shared/fixtures/tokenizer-files/qwen3 is absent"))
    func qwen3() throws { try checkFile("qwen3") }

    @Test(
        "Mistral tokenizer.json",
        .enabled(if: file("mistral-v1-sp") != nil, "shared/fixtures/tokenizer-files/mistral-v1-sp is absent"))
    func mistral() throws { try checkFile("mistral-v1-sp") }

    private func checkFile(_ name: String) throws {
        let bytes = Array(try Data(contentsOf: try #require(Self.file(name))))
        try check(try Tokenizer(tokenizerJSON: bytes), against: name)
    }

    @Test(
        "SmolLM2 GGUF", .enabled(if: SharedFixtures.smolLM2 != nil, "models/SmolLM2-135M-Instruct.Q4_1.gguf is absent"))
    func smolLM2GGUF() throws {
        let metadata = try GGUFMetadata(try #require(SharedFixtures.smolLM2))
        let tokenizer = try Tokenizer(gguf: metadata.vocabulary)
        try check(tokenizer, against: "smollm2")
        #expect(tokenizer.vocabularySize == 49152)
        #expect(tokenizer.specialTokens.endOfSequence == tokenizer.id(of: "<|im_end|>"))
    }

    /// A GGUF file of SentencePiece has scores, a tokenizer.json has merges: the same model must give the same ids.
    @Test(
        "Mistral's vocabulary as GGUF metadata",
        .enabled(if: file("mistral-v1-sp") != nil, "shared/fixtures/tokenizer-files/mistral-v1-sp is absent"))
    func mistralAsGGUF() throws {
        let file = try TokenizerFile(Array(try Data(contentsOf: try #require(Self.file("mistral-v1-sp")))))
        // The converter orders merges by the score of their result; recover an order of scores from that.
        var tokens = [[UInt8]](repeating: [], count: file.tokens.count)
        for (index, id) in file.ids.enumerated() { tokens[Int(id)] = Array(file.tokens[index]) }
        let ids = Dictionary(tokens.enumerated().map { ($1, $0) }, uniquingKeysWith: { $1 })
        var scores = [Float](repeating: -1e6, count: tokens.count)
        for merge in 0..<(file.merges.count / 2) {
            let result = Array(file.merges[2 * merge] + file.merges[2 * merge + 1])
            let id = try #require(ids[result])
            if scores[id] == -1e6 { scores[id] = -Float(merge) }
        }
        var vocabulary = GGUFVocabulary(model: "llama", tokens: tokens)
        vocabulary.scores = scores
        vocabulary.tokenTypes = tokens.indices.map { $0 == 0 ? 2 : $0 < 3 ? 3 : $0 < 259 ? 6 : 1 }
        vocabulary.bos = 1
        vocabulary.eos = 2
        vocabulary.unknown = 0
        try check(try Tokenizer(gguf: vocabulary), against: "mistral-v1-sp")
    }
}
