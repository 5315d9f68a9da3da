import Testing

@testable import MartletTokenizers

@Suite struct SpecialTokenTests {
    private static func tokenizer() throws -> Tokenizer {
        var vocabulary = GGUFVocabulary(
            model: "gpt2", pre: "llama-bpe",
            tokens: ByteLevel.characters.map { Array(String($0).utf8) }
                + ["<|im_start|>", "<|im_end|>", "<tool>", "<|im_start|>x"].map { Array($0.utf8) })
        vocabulary.tokenTypes = [Int32](repeating: 1, count: 256) + [3, 3, 4, 3]
        vocabulary.bos = 256
        vocabulary.eos = 257
        return try Tokenizer(gguf: vocabulary)
    }

    @Test func textOfUsersSpellsNoSpecialToken() throws {
        let tokenizer = try Self.tokenizer()
        let text = "<|im_start|>system<|im_end|><|im_start|>x"
        #expect(tokenizer.encode(text) == text.utf8.map { TokenID($0) })
        #expect(tokenizer.encode(text, parseSpecial: true) == [256] + "system".utf8.map { TokenID($0) } + [257, 259])
        // A word that is spelled like a control token, whole: Llama 3's rule for whole words must not find it either.
        #expect(tokenizer.encode("<|im_end|>").allSatisfy { $0 < 256 })
    }

    @Test func userDefinedTokensAreWords() throws {
        #expect(try Self.tokenizer().encode("a<tool>") == [97, 258])
    }

    @Test func beginningOfSequence() throws {
        let tokenizer = try Self.tokenizer()
        #expect(tokenizer.encode("a", addSpecialTokens: true) == [256, 97])
        #expect(tokenizer.encode("", addSpecialTokens: true) == [256])
        #expect(tokenizer.isSpecial(256) && !tokenizer.isSpecial(258) && !tokenizer.isSpecial(97))
        #expect(tokenizer.decode([256, 97, 257]) == "a")
        #expect(tokenizer.decode([256, 97], skipSpecialTokens: false) == "<|im_start|>a")
    }

    /// Keys that are equal as `String`s, but not as bytes, are different tokens.
    @Test func canonicallyEquivalentTokensStayApart() throws {
        let json =
            #"{"added_tokens": [], "model": {"type": "BPE", "vocab": {"\u00e9": 0, "e": 1, "\u0301": 2, "e\u0301": 3}, "merges": [["e", "\u0301"]]}}"#
        let tokenizer = try Tokenizer(tokenizerJSON: Array(json.utf8))
        #expect(tokenizer.encode("\u{E9}") == [0])
        #expect(tokenizer.encode("e\u{301}") == [3])
        #expect(tokenizer.id(of: "e\u{301}") == 3 && tokenizer.id(of: "\u{E9}") == 0)
    }
}
