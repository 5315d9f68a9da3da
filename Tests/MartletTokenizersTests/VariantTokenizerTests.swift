import Foundation
import MartletJSON
import Testing

@testable import MartletTokenizers

/// Small tokenizers in the shapes of published ones, against the reference library.
@Suite struct VariantTokenizerTests {
    static let names = [
        "llama2", "llama2-missing-bytes", "llama2-single-unknown", "mistral-first", "metaspace-never", "gemma",
        "llama3",
        "qwen2", "deepseek3", "deepseek2", "glm4", "roberta", "starcoder", "bert", "whitespace", "prepend", "t5",
        "unigram-llama",
    ]

    @Test(arguments: names) func idsAndText(_ name: String) throws {
        let tokenizer = try Tokenizer(tokenizerJSON: try FixtureFile.bytes("variants/\(name).json"))
        let fixture = try FixtureFile.json("variants.json")
        let strings = fixture["strings"].strings
        let expected = fixture["tokenizers"][name]
        let ids = try #require(expected["ids"].array)
        let idsWithSpecial = try #require(expected["ids_with_special"].array)
        #expect(strings.count == 70 && ids.count == 70 && idsWithSpecial.count == 70)
        for (index, string) in strings.enumerated() {
            let found = tokenizer.encode(bytes: string, parseSpecial: true)
            #expect(found == ids[index].tokens, "\(name) \(shown(string))")
            let withSpecial = tokenizer.encode(bytes: string, addSpecialTokens: true, parseSpecial: true)
            #expect(withSpecial == idsWithSpecial[index].tokens, "\(name) \(shown(string))")
            for (key, skips) in [("decoded", false), ("decoded_skipping", true)] {
                let text = tokenizer.decode(ids[index].tokens, skipSpecialTokens: skips)
                #expect(Array(text.utf8) == expected[key].strings[index], "\(name) \(key) \(shown(string))")
            }
        }
    }

    /// The fixture holds what the list above names, no more and no less.
    @Test func allAreTested() throws {
        guard case .object(let tokenizers) = try FixtureFile.json("variants.json")["tokenizers"] else {
            Issue.record("no tokenizers")
            return
        }
        #expect(Set(tokenizers.keys) == Set(Self.names))
    }

    /// The same Unigram vocabulary as GGUF metadata. GGUF has SentencePiece's own normalization in the place of the file's
    /// stages: the texts are those that neither changes.
    @Test func unigramAsGGUF() throws {
        let file = try TokenizerFile(try FixtureFile.bytes("variants/t5.json"))
        var vocabulary = GGUFVocabulary(model: "t5", tokens: (0..<file.tokens.count).map { Array(file.tokens[$0]) })
        vocabulary.scores = file.scores.map(Float.init)
        vocabulary.tokenTypes = [3, 3, 2] + [Int32](repeating: 1, count: file.tokens.count - 3)
        vocabulary.eos = 1
        vocabulary.unknown = 2
        vocabulary.removeExtraWhitespaces = true
        let tokenizer = try Tokenizer(gguf: vocabulary)
        let reference = try Tokenizer(tokenizerJSON: try FixtureFile.bytes("variants/t5.json"))
        let words = ["sea", "Anne", "don't", "HTTPServer", "3.14", "x", "?!", "__init__", "the"]
        for first in words {
            for second in words {
                let text = first + " " + second
                #expect(tokenizer.encode(text) == reference.encode(text), "\(text)")
                #expect(tokenizer.encode("  " + first + "   " + second + " ") == reference.encode(text))
            }
        }
        #expect(tokenizer.encode("the", addSpecialTokens: true).last == 1)
        #expect(tokenizer.decode(tokenizer.encode("the sea")) == "the sea")
        vocabulary.precompiledCharsMap = [1, 2, 3]
        #expect(throws: TokenizerError.self) { try Tokenizer(gguf: vocabulary) }
        vocabulary.scores = []
        #expect(throws: TokenizerError.self) { try Tokenizer(gguf: vocabulary) }
    }
}
