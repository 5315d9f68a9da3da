import Foundation
import Martlet
import TestSupport
import Testing

/// What a folder's files say beside `tokenizer.json`.
@Suite struct TokenizerRolesTests {
    private static func llm(_ files: [String: String]) async throws -> LLM {
        var model = TinyModelFolder()
        model.files["tokenizer.json"] = Data(ContinuationTests.tokenizer.utf8)
        for (name, text) in files { model.files[name] = Data(text.utf8) }
        let folder = try model.write()
        return try await LLM.load(folder.path)
    }

    /// As in transformers 5, where `tokenizer.json` alone says what is put around a text: it has nothing here.
    @Test(arguments: ["", #", "add_bos_token": true"#, #", "add_eos_token": true"#])
    func whatIsPutAroundATextIsTheTokenizersOwn(_ keys: String) async throws {
        let settings = #"{"bos_token": "<s>", "eos_token": {"content": "</s>"}"# + keys + "}"
        #expect(try await Self.llm(["tokenizer_config.json": settings]).tokenize("a", addSpecialTokens: true) == [3])
    }

    /// Files of before 2023 have their roles there.
    @Test func olderFilesNameTokensApart() async throws {
        let map = #"{"bos_token": {"content": "<s>"}}"#
        for (settings, beginning) in [
            (#"{"bos_token": "</s>", "chat_template": "{{ bos_token }}"}"#, 1),
            (#"{"added_tokens_decoder": {}, "bos_token": "</s>", "chat_template": "{{ bos_token }}"}"#, 2),
        ] {
            let llm = try await Self.llm(["tokenizer_config.json": settings, "special_tokens_map.json": map])
            #expect(try llm.prompt(for: []) == .chat(tokens: [beginning]), "\(settings)")
        }
    }
}
