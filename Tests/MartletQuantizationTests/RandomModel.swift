import Foundation
import TestSupport

/// A small dense model with random weights: width 64, four query heads and two key-value heads of 16, feed-forward 128, and
/// some input channels that are much larger than the others, as real models have them.
struct RandomModel {
    var architecture = "llama"
    var layers = 2
    var width = 64
    var inner = 128
    var vocabulary = 96
    var type = "F32"
    var settings: [String: String] = [:]
    var weights = SafetensorsBuilder()

    private var random = TestGenerator(seed: 7)

    /// - Parameter type: of all tensors, F32 or F16.
    init(architecture: String = "llama", layers: Int = 2, inner: Int = 128) {
        self.architecture = architecture
        self.layers = layers
        self.inner = inner
        add("model.embed_tokens.weight", [vocabulary, width], 1)
        for layer in 0..<layers {
            let name = "model.layers.\(layer)."
            addNorm(name + "input_layernorm.weight", width)
            addNorm(name + "post_attention_layernorm.weight", width)
            for (projection, rows) in [("q", 64), ("k", 32), ("v", 32)] {
                add(name + "self_attn.\(projection)_proj.weight", [rows, width], 0.2)
                if architecture == "qwen2" { add(name + "self_attn.\(projection)_proj.bias", [rows], 0.1) }
            }
            if architecture == "qwen3" {
                addNorm(name + "self_attn.q_norm.weight", 16)
                addNorm(name + "self_attn.k_norm.weight", 16)
            }
            add(name + "self_attn.o_proj.weight", [width, 64], 0.2)
            add(name + "mlp.gate_proj.weight", [inner, width], 0.2)
            add(name + "mlp.up_proj.weight", [inner, width], 0.2)
            add(name + "mlp.down_proj.weight", [width, inner], 0.2)
        }
        addNorm("model.norm.weight", width)
        add("lm_head.weight", [vocabulary, width], 0.3)
    }

    private mutating func add(_ name: String, _ shape: [Int], _ deviation: Float) {
        weights.add(name, shape, (0..<shape.reduce(1, *)).map { _ in deviation * random.normal() })
    }

    private mutating func addNorm(_ name: String, _ count: Int) {
        // Every seventh channel is an outlier.
        weights.add(name, [count], (0..<count).map { ($0 % 7 == 3 ? 8 : 1) * (1 + 0.1 * random.normal()) })
    }

    func write() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        var members = [
            "model_type": "\"\(architecture)\"", "hidden_size": "\(width)", "intermediate_size": "\(inner)",
            "num_hidden_layers": "\(layers)", "num_attention_heads": "4", "num_key_value_heads": "2", "head_dim": "16",
            "vocab_size": "\(vocabulary)", "max_position_embeddings": "64", "rms_norm_eps": "1e-05",
            "rope_theta": "10000.0", "tie_word_embeddings": "false", "torch_dtype": "\"float32\"",
        ]
        members.merge(settings) { $1 }
        let text = members.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ", ")
        try folder.write("{\(text)}", to: "config.json")
        try folder.write(weights.build(), to: "model.safetensors")
        try folder.write("{}", to: "tokenizer_config.json")
        return folder
    }

    /// Token ids of a text that is as random as the model.
    static func text(_ count: Int) -> [Int32] {
        var random = TestGenerator(seed: 11)
        return (0..<count).map { _ in Int32(random.next() % 96) }
    }
}

extension TestGenerator {
    /// A normal variable, by the sum of twelve uniform ones.
    mutating func normal() -> Float {
        (0..<12).reduce(Float(-6)) { sum, _ in sum + Float(next() >> 40) / Float(1 << 24) }
    }
}
