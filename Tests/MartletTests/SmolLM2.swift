import Foundation
import Martlet
import MartletGraph
import TestSupport

/// The real default model in the configurations that tests need, and reference values for it.
enum SmolLM2 {
    static let isPresent = SharedFixtures.smolLM2 != nil
    static let absence = "the default model is absent: run 'make model'"

    /// Small enough for a test: 2,048 rows of KV cache, logits for every token of a step.
    static func load(_ change: (inout LoadOptions) -> Void = { _ in }) throws -> LoadedModel {
        var options = LoadOptions()
        options.threads = 1
        options.contextLength = 2048
        options.maxRequests = 8
        options.maxSampledRows = 512
        change(&options)
        return try LoadedModel(path: SharedFixtures.smolLM2?.path ?? "", options: options)
    }

    static let endToken: Int32 = 2

    /// A model for several engines, one after the other.
    final class Shared: @unchecked Sendable {
        let contextLength: Int
        private let compiled: any CompiledModel

        init(_ model: LoadedModel) {
            contextLength = model.contextLength
            compiled = model.compiled
        }

        var runner: ModelRunner {
            ModelRunner(
                limits: compiled.limits, rowCount: compiled.kvRows, vocabularySize: compiled.plan.logits.shape.width,
                compute: run)
        }

        func run(_ input: StepInput) -> UnsafeBufferPointer<Float> { compiled.run(input) }
    }

    /// What transformers computes in float32 for two windows of 512 tokens of English prose.
    struct Reference: Decodable {
        let window: Int
        let ids: [Int32]
        /// Per position: the most likely next token, and how far its logit is above the second's.
        let top1: [Int]
        let margin: [Float]
        /// Per predicted token, `window - 1` in each window.
        let nll: [Double]

        static func load() throws -> Reference {
            let url = try requireFixture("smollm2-persuasion.json")
            return try JSONDecoder().decode(Reference.self, from: Data(contentsOf: url))
        }
    }

    static func requireFixture(_ name: String) throws -> URL {
        guard let url = Bundle.module.url(forResource: "Fixtures/" + name, withExtension: nil) else {
            throw CocoaError(.fileNoSuchFile)
        }
        return url
    }
}
