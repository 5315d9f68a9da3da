import Foundation
import Martlet
import MartletCheckpoints
import TestSupport
import Testing

/// Hugging Face folders from the weights to the text.
@Suite struct FolderTests {
    private static func continuation(
        _ path: String, _ prompt: Prompt, maxTokens: Int
    ) async throws -> (text: String, tokens: [Int]) {
        var options = LoadOptions()
        options.compute = .f32
        options.contextLength = 512
        options.maxRequests = 1
        let model = try await LLM.load(path, options: options)
        var parameters = SamplingParameters()
        parameters.temperature = 0
        parameters.maxTokens = maxTokens
        parameters.ignoreEOS = true
        var result = (text: "", tokens: [Int]())
        for try await output in try await model.generate(prompt, parameters) {
            result.text += output.text
            result.tokens += output.tokenIDs
        }
        await model.shutdown()
        return result
    }

    @Test(.enabled(if: SharedFixtures.url("models/llama3_gqa_tied") != nil, "shared/fixtures/models is absent"))
    func theEngineContinuesAsTheReference() async throws {
        let model = ReferenceModel(folder: try #require(SharedFixtures.url("models/llama3_gqa_tied")))
        let test = try model.cases()[2]
        #expect(test.margin > 0.1, "the case with the largest margin")
        let result = try await Self.continuation(
            model.path, .tokens(test.ids.map(Int.init)), maxTokens: try #require(test.greedy).count)
        #expect(result.tokens.map(Int32.init) == test.greedy)
    }

    @Test(
        .enabled(
            if: SharedFixtures.smolLM2 != nil && SharedFixtures.smolLM2Folder != nil,
            "models/SmolLM2-135M-Instruct-hf is absent (shared/tools/make_hf_smollm2.py makes it)"))
    func smolLM2SaysTheSameFromAFolder() async throws {
        let paths = try [#require(SharedFixtures.smolLM2).path, #require(SharedFixtures.smolLM2Folder).path]
        let checkpoints = try paths.map(Checkpoint.init(path:))
        let ids = Array(try SmolLM2.Reference.load().ids.prefix(96))
        let logits = try checkpoints.map {
            ReferenceModel.logits(try ReferenceModel.compiled($0, tokens: ids.count), ids)
        }
        #expect(logits[0] == logits[1], "the weights are the same, so the bits are")
        var texts: [String] = []
        for path in paths {
            texts.append(
                try await Self.continuation(path, .text("It is a truth universally acknowledged"), maxTokens: 48).text)
        }
        #expect(texts[0] == texts[1] && texts[0].count > 50)
    }

    @Test func aFolderWithoutATokenizerHasNoText() async throws {
        let folder = try TinyModelFolder().write()
        await #expect(throws: CheckpointError.self) { try await LLM.load(folder.path) }
        #expect(try LoadedModel(path: folder.path).tokenizer == nil)
    }
}
