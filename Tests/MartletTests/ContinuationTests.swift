import Foundation
import Martlet
import MartletGrammar
import TestSupport
import Testing

/// In SentencePiece's vocabularies words begin with a space, which a text loses at its start.
@Suite struct ContinuationTests {
    static let tokenizer = """
        {"added_tokens": [
          {"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "<s>", "special": true},
          {"id": 2, "content": "</s>", "special": true}],
         "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false},
         "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false},
         "model": {"type": "Unigram", "unk_id": 0, "vocab": [
          ["<unk>", 0], ["<s>", 0], ["</s>", 0], ["▁a", -1], ["b", -2], ["▁b", -1], ["a", -2], ["▁", -3], ["c", -2],
          ["▁c", -1]]}}
        """

    private static func load() async throws -> LLM {
        var model = TinyModelFolder()
        model.files["tokenizer.json"] = Data(tokenizer.utf8)
        let folder = try model.write()
        return try await LLM.load(folder.url.path)
    }

    private static func answer(
        _ llm: LLM, _ prompt: Prompt, _ structure: OutputStructure? = nil
    ) async throws -> String {
        var parameters = SamplingParameters()
        parameters.structure = structure
        if structure == nil {
            parameters.allowedTokenIDs = [5]
            parameters.maxTokens = 2
        }
        return try await llm.generate([prompt], parameters)[0].text
    }

    @Test func whatContinuesATextKeepsItsSpace() async throws {
        let llm = try await Self.load()
        for prompt: Prompt in ["a c", .tokens([3]), .chat(tokens: [1, 3], isContinued: true)] {
            #expect(try await Self.answer(llm, prompt) == " b b")
            #expect(try await Self.answer(llm, prompt, .regex(" b c")) == " b c")
        }
    }

    @Test func anAnswerIsATextOfItsOwn() async throws {
        let llm = try await Self.load()
        // As is what follows no text at all.
        for prompt: Prompt in [.chat(tokens: [1, 3]), .tokens([1])] {
            #expect(try await Self.answer(llm, prompt) == "b b")
            #expect(try await Self.answer(llm, prompt, .regex("b c")) == "b c")
        }
    }
}
