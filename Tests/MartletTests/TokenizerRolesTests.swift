import Foundation
import Martlet
import TestSupport
import Testing

/// What a folder's files say beside `tokenizer.json`.
@Suite struct TokenizerRolesTests {
    private static func tokens(_ files: [String: String]) async throws -> [Int] {
        var model = TinyModelFolder()
        model.files["tokenizer.json"] = Data(ContinuationTests.tokenizer.utf8)
        for (name, text) in files { model.files[name] = Data(text.utf8) }
        let folder = try model.write()
        return try await LLM.load(folder.path).tokenize("a", addSpecialTokens: true)
    }

    /// As in transformers 5, they go before what `tokenizer.json` puts around a text.
    @Test(arguments: [
        ("", [3]), (#", "add_bos_token": true"#, [1, 3]),
        (#", "add_bos_token": false, "add_eos_token": true"#, [3, 2]),
        (#", "add_bos_token": true, "add_eos_token": true"#, [1, 3, 2]), (#", "add_bos_token": false"#, [3]),
    ])
    func whatIsPutAroundATextIsSaid(_ keys: String, _ expected: [Int]) async throws {
        let settings = #"{"bos_token": "<s>", "eos_token": {"content": "</s>"}"# + keys + "}"
        #expect(try await Self.tokens(["tokenizer_config.json": settings]) == expected)
    }

    /// Files of before 2023 have their roles there.
    @Test func olderFilesNameTokensApart() async throws {
        let map = #"{"bos_token": {"content": "<s>"}}"#
        let older = #"{"bos_token": "</s>", "add_bos_token": true}"#
        #expect(try await Self.tokens(["tokenizer_config.json": older, "special_tokens_map.json": map]) == [1, 3])
        let newer = #"{"added_tokens_decoder": {}, "bos_token": "</s>", "add_bos_token": true}"#
        #expect(try await Self.tokens(["tokenizer_config.json": newer, "special_tokens_map.json": map]) == [2, 3])
    }
}
