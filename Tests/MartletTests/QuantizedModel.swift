import Foundation
import Martlet
import MartletCheckpoints
import MartletGraph
import MartletModels
import TestSupport
import Testing

/// A tiny quantized model, with what transformers makes of its dequantized weights in float32.
struct QuantizedModel: Sendable, CustomTestStringConvertible {
    let folder: URL
    var testDescription: String { folder.lastPathComponent }

    /// Made by `Fixtures/make_quantized.py`, which packs and unpacks on its own.
    static let own: [QuantizedModel] = {
        let folder = ProcessInfo.processInfo.environment["MARTLET_TEST_QUANTIZED"].map { URL(filePath: $0) }
        guard let url = folder ?? Bundle.module.url(forResource: "Fixtures/quantized", withExtension: nil) else {
            return []
        }
        let folders = (try? FileManager.default.contentsOfDirectory(at: url, includingPropertiesForKeys: nil)) ?? []
        return folders.sorted { $0.path < $1.path }.map(QuantizedModel.init)
    }()

    /// Made by GPTQModel and llm-compressor; none where `shared/fixtures` is absent.
    static let shared = [
        "tiny-awq-g32", "tiny-gptq-g32-sym-noact", "tiny-gptq-g32-asym-act", "tiny-ct-w4a16-g64", "tiny-ct-w8a8",
        "tiny-ct-fp8dyn",
    ].compactMap { SharedFixtures.url("quant/\($0)") }.map(QuantizedModel.init)

    struct Reference {
        let ids: [Int32]
        /// `[ids, vocabulary]`.
        let logits: [Float]
        /// The same with activations rounded to 8 bits, where the checkpoint is made for that.
        let rounded: [Float]?
        /// By layer: its first rows, in the file's column order.
        let weights: [String: (values: [Float], shape: [Int])]
    }

    func reference() throws -> Reference {
        let tensors = try ReferenceTensors(folder.appending(path: "ref.safetensors"))
        let prefix = tensors.names.contains("logits") ? "" : "case0."
        var weights: [String: (values: [Float], shape: [Int])] = [:]
        for name in tensors.names {
            if name.hasPrefix("weights.") { weights[String(name.dropFirst(8))] = try tensors.floats(name) }
            if name.hasPrefix("sample.") { weights[String(name.dropFirst(7).dropLast(7))] = try tensors.floats(name) }
        }
        return Reference(
            ids: try tensors.integers(prefix + "input_ids").values.map(Int32.init),
            logits: try tensors.floats(prefix + "logits").values,
            rounded: try? tensors.floats(prefix + "logits_a8").values, weights: weights)
    }
}
