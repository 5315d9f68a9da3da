import Foundation
import Martlet
import MartletCheckpoints
import MartletGraph
import TestSupport
import Testing

/// A tiny model with what transformers makes of it (`ref.safetensors`).
struct ReferenceModel: Sendable, CustomTestStringConvertible {
    let folder: URL
    var testDescription: String { folder.lastPathComponent }
    var path: String { folder.path }

    struct Case {
        let ids: [Int32]
        /// `[ids, vocabulary]`.
        let logits: [Float]
        /// What follows, token by token; nil where the reference doesn't say.
        let greedy: [Int32]?
        /// The smallest distance between the best and the second-best logit of the continuation.
        let margin: Float
    }

    /// Language models of `shared/fixtures/models`; none where it is absent.
    static let shared = [
        "llama3_gqa_tied", "llama_linear", "llama_mqa_bias_fp16", "llama_untied_bf16", "mistral_swa", "qwen2_bias_tied",
        "qwen2_swa", "qwen3_moe", "qwen3_qknorm", "qwen3_yarn",
    ].compactMap { SharedFixtures.url("models/\($0)") }.map(ReferenceModel.init)

    /// Models in odd shapes, made by `Fixtures/make_models.py`.
    static let own: [ReferenceModel] = {
        guard let models = Bundle.module.url(forResource: "Fixtures/models", withExtension: nil) else { return [] }
        let folders = (try? FileManager.default.contentsOfDirectory(at: models, includingPropertiesForKeys: nil)) ?? []
        return folders.sorted { $0.path < $1.path }.map(ReferenceModel.init)
    }()

    func cases() throws -> [Case] {
        struct Facts: Decodable {
            struct Case: Decodable { let min_margin: Float }
            let cases: [Case]
        }
        let facts = folder.appending(path: "ref.json")
        let margins = try (try? Data(contentsOf: facts)).map { data in
            try JSONDecoder().decode(Facts.self, from: data).cases.map(\.min_margin)
        }
        let file = try Safetensors(path: folder.appending(path: "ref.safetensors").path)
        func values<Value: BitwiseCopyable>(_ name: String, _: Value.Type) -> [Value]? {
            file.tensors.first { $0.name == name }.map { tensor in
                (0..<tensor.byteRange.count / MemoryLayout<Value>.size).map {
                    file.file.bytes.loadUnaligned(
                        fromByteOffset: tensor.byteRange.lowerBound + $0 * MemoryLayout<Value>.size, as: Value.self)
                }
            }
        }
        var result: [Case] = []
        while let ids = values("case\(result.count).input_ids", Int64.self) {
            let name = "case\(result.count)"
            result.append(
                Case(
                    ids: ids.map(Int32.init), logits: try #require(values(name + ".logits", Float.self)),
                    greedy: values(name + ".greedy", Int64.self)?.map(Int32.init),
                    margin: margins?[result.count] ?? 0))
        }
        return result
    }

    /// The model as it runs one sequence of `tokens` tokens at most.
    static func compiled(
        _ checkpoint: Checkpoint, tokens: Int, _ change: (inout LoadOptions) -> Void = { _ in }
    ) throws -> any CompiledModel {
        var options = LoadOptions()
        options.compute = .f32
        options.threads = 2
        options.contextLength = tokens
        options.maxRequests = 1
        options.maxSampledRows = 256
        change(&options)
        return try ModelOutline(checkpoint, options: options).compile()
    }

    /// Logits `[ids, vocabulary]`.
    static func logits(_ model: any CompiledModel, _ ids: [Int32], chunk: Int = 256) -> [Float] {
        var result: [Float] = []
        SequenceEvaluator(model).forEachLogits(of: ids, chunk: chunk) { _, _, logits in result += logits }
        return result
    }

    static func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
        a.count == b.count ? zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } : .infinity
    }

    static func standardDeviation(_ values: [Float]) -> Float {
        let mean = values.reduce(0) { $0 + Double($1) } / Double(values.count)
        return Float(
            (values.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(values.count)).squareRoot())
    }
}
