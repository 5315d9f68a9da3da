import Foundation
import Martlet
import MartletCheckpoints
import MartletGraph
import TestSupport
import Testing

/// The same weights as a Hugging Face folder and as a GGUF file give the same logits.
@Suite(.enabled(if: !ReferenceModel.shared.isEmpty, "shared/fixtures/models is absent"))
struct GGUFConversionTests {
    /// Models whose every detail a GGUF file can say.
    static let models = (ReferenceModel.shared + ReferenceModel.own).filter { model in
        [
            "llama3_gqa_tied", "llama_linear", "llama_mqa_bias_fp16", "llama_untied_bf16", "mistral_swa",
            "qwen2_bias_tied", "qwen3_moe", "qwen3_qknorm", "qwen3_yarn", "llama-llama3-heads-of-80",
        ].contains(model.testDescription)
    }

    @Test(arguments: models, [LoadOptions.Compute.f32, .auto])
    func logitsAreThoseOfTheFolder(model: ReferenceModel, compute: LoadOptions.Compute) throws {
        let folder = try Checkpoint(path: model.path)
        let gguf = try Checkpoint(gguf: GGUFConversion(folder).file.open())
        let ids = try #require(model.cases().last).ids
        let logits = try [folder, gguf].map { checkpoint in
            ReferenceModel.logits(
                try ReferenceModel.compiled(checkpoint, tokens: ids.count) { $0.compute = compute }, ids)
        }
        let difference = ReferenceModel.largestDifference(logits[0], logits[1])
        // Llama 3's scaling is a tensor of divisors in GGUF, which are rounded once more than what they divide.
        let isRounded = gguf.configuration.rope.frequencyFactorsTensor != nil
        let tolerance = isRounded ? (compute == .f32 ? 1e-4 : 2e-2) : Float(0)
        #expect(difference <= tolerance * ReferenceModel.standardDeviation(logits[0]))
    }
}

extension GGUFConversionTests {
    /// F32 matrices in an F16 file are what rounding them says, and nothing else: the same values as F32 give the same
    /// logits, and the folder's own logits are as near as 11 bits allow.
    @Test(arguments: models)
    func f16FilesOfF32Models(model: ReferenceModel) throws {
        let folder = try Checkpoint(path: model.path)
        guard try folder.tensorNames.allSatisfy({ try folder.tensor($0).type == .f32 }) else { return }
        let ids = try #require(model.cases().last).ids
        func logits(_ matrices: GGUFConversion.Matrices) throws -> [Float] {
            let checkpoint = try Checkpoint(gguf: GGUFConversion(folder, matrices: matrices).file.open())
            return ReferenceModel.logits(
                try ReferenceModel.compiled(checkpoint, tokens: ids.count) { $0.compute = .f32 }, ids)
        }
        let (original, rounded, halves) = (try logits(.asStored), try logits(.roundedToF16), try logits(.f16))
        let deviation = ReferenceModel.standardDeviation(original)
        #expect(ReferenceModel.largestDifference(halves, rounded) <= 1e-5 * deviation)
        #expect(ReferenceModel.largestDifference(halves, original) <= 2e-2 * deviation)
        #expect(halves != original)
    }
}

/// Writes a folder's model as llama.cpp's converter does: other names, Llama's q and k with rope's halves interleaved, and
/// all experts of a layer in one tensor. The elements keep their type, unless F32 matrices are to be rounded.
struct GGUFConversion {
    enum Matrices {
        case asStored
        /// As F16, and as F32 with the values that F16 has.
        case f16, roundedToF16
    }

    private(set) var file = GGUFBuilder()
    private let source: Checkpoint
    private let architecture: String
    private let matrices: Matrices

    init(_ source: Checkpoint, matrices: Matrices = .asStored) throws {
        self.source = source
        self.matrices = matrices
        architecture =
            [
                "llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "qwen3_moe": "qwen3moe",
            ][source.configuration.architecture] ?? ""
        writeMetadata()
        for name in source.tensorNames where !name.contains(".experts.") {
            try add(Self.ggufName(name), rows: rows(of: source.tensor(name), name))
        }
        guard let experts = source.configuration.experts else { return }
        for layer in 0..<source.configuration.layerCount {
            for projection in ["gate", "up", "down"] {
                let tensors = try (0..<experts.count).map {
                    try source.tensor("model.layers.\(layer).mlp.experts.\($0).\(projection)_proj.weight")
                }
                let experts = tensors.map { rows(of: $0, "") }
                let stack = Rows(
                    shape: [experts.count] + experts[0].shape, type: experts[0].type, bytes: experts.flatMap(\.bytes))
                add("blk.\(layer).ffn_\(projection)_exps.weight", rows: stack)
            }
        }
    }

    private struct Rows {
        let shape: [Int]
        let type: TensorType
        let bytes: [UInt8]
    }

    private mutating func add(_ name: String, rows: Rows) {
        guard matrices != .asStored, rows.type == .f32, rows.shape.count > 1 else {
            return file.add(name, rows.shape, rows.type, data: rows.bytes)
        }
        let halves = rows.bytes.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { Float16(bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self)) }
        }
        if matrices == .f16 {
            file.add(name, rows.shape, .f16, data: halves.flatMap(\.bitPattern.bytes))
        } else {
            file.add(name, rows.shape, .f32, data: halves.flatMap { Float($0).bitPattern.bytes })
        }
    }

    /// A tensor's bytes in the order of GGUF's rows. Of a vector each element counts as a row.
    private func rows(of tensor: StoredTensor, _ name: String) -> Rows {
        let count = tensor.shape.count == 1 ? tensor.columns : tensor.rows
        let rowBytes = tensor.descriptor.byteRange.count / count
        let module = name.split(separator: ".").dropLast().last
        let isInterleaved = architecture == "llama" && (module == "q_proj" || module == "k_proj")
        let headDim = source.configuration.headDim
        let order = (0..<count).map { row in
            // reshape(heads, 2, headDim / 2).swapaxes(1, 2)
            let (head, place) = row.quotientAndRemainder(dividingBy: headDim)
            return isInterleaved ? head * headDim + place % 2 * (headDim / 2) + place / 2 : row
        }
        let bytes = order.flatMap { row in
            let start = tensor.descriptor.byteRange.lowerBound + row * rowBytes
            return Array(tensor.file.bytes[start..<start + rowBytes])
        }
        return Rows(shape: tensor.shape, type: tensor.type, bytes: bytes)
    }

    private static func ggufName(_ name: String) -> String {
        let modules = [
            "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
            "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
            "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
            "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
            "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "mlp.gate": "ffn_gate_inp",
        ]
        let parts = name.split(separator: ".").map(String.init)
        let parameter = parts[parts.count - 1]
        if parts[0] == "model", parts[1] == "layers" {
            let module = parts[3..<parts.count - 1].joined(separator: ".")
            return "blk.\(parts[2]).\(modules[module] ?? module).\(parameter)"
        }
        let module = parts.dropLast().joined(separator: ".")
        return "\(modules[module] ?? module).\(parameter)"
    }

    private mutating func writeMetadata() {
        let model = source.configuration
        let sizes: [(String, Int)] = [
            ("block_count", model.layerCount), ("context_length", model.maxPositionEmbeddings),
            ("embedding_length", model.hiddenSize), ("feed_forward_length", model.intermediateSize),
            ("attention.head_count", model.headCount), ("attention.head_count_kv", model.kvHeadCount),
            ("attention.key_length", model.headDim), ("attention.value_length", model.headDim),
            ("rope.dimension_count", model.rope.dimensionCount), ("vocab_size", model.vocabularySize),
            ("attention.sliding_window", model.slidingWindow ?? 0), ("expert_count", model.experts?.count ?? 0),
            ("expert_used_count", model.experts?.perToken ?? 0),
            ("expert_feed_forward_length", model.experts?.intermediateSize ?? 0),
        ]
        file.set("general.architecture", architecture)
        for (key, value) in sizes where value > 0 { file.set("\(architecture).\(key)", UInt32(value)) }
        file.set("\(architecture).attention.layer_norm_rms_epsilon", Float(model.rmsNormEpsilon))
        file.set("\(architecture).rope.freq_base", Float(model.rope.theta))
        file.set("tokenizer.ggml.tokens", (0..<model.vocabularySize).map { "t\($0)" })
        let key = "\(architecture).rope.scaling."
        switch model.rope.scaling {
        case .none, .dynamic: break
        case .linear(let factor):
            file.set(key + "type", "linear")
            file.set(key + "factor", Float(factor))
        case .yarn(let yarn):
            file.set(key + "type", "yarn")
            file.set(key + "factor", Float(yarn.factor))
            file.set(key + "original_context_length", UInt32(yarn.originalContextLength))
        case .llama3(let scaling):
            let divisors = stride(from: 0, to: model.rope.dimensionCount, by: 2).map { dimension in
                let wavelength =
                    2 * Double.pi * pow(model.rope.theta, Double(dimension) / Double(model.rope.dimensionCount))
                let turns = Double(scaling.originalContextLength) / wavelength
                if turns > scaling.highFrequencyFactor { return Float(1) }
                if turns < scaling.lowFrequencyFactor { return Float(scaling.factor) }
                let share =
                    (turns - scaling.lowFrequencyFactor) / (scaling.highFrequencyFactor - scaling.lowFrequencyFactor)
                return Float(1 / ((1 - share) / scaling.factor + share))
            }
            file.add(
                "rope_freqs.weight", [divisors.count], .f32, data: divisors.flatMap(\.bitPattern.bytes))
        }
    }
}
