public import Foundation

/// A complete, tiny Llama as Hugging Face lays it out: width 8, 2 query heads and 1 key-value head of 4, 10 tokens, one
/// layer. Everything can be made wrong.
public struct TinyModelFolder: Sendable {
    /// `config.json`: keys and values as JSON.
    public var settings: [String: String] = [
        "model_type": #""llama""#, "hidden_size": "8", "intermediate_size": "12", "num_hidden_layers": "1",
        "num_attention_heads": "2", "num_key_value_heads": "1", "vocab_size": "10", "max_position_embeddings": "64",
        "rms_norm_eps": "1e-5", "rope_theta": "10000.0", "tie_word_embeddings": "false", "eos_token_id": "2",
    ]
    public var weights = SafetensorsBuilder()
    /// Other files by name; they go before those that are made of the above.
    public var files: [String: Data] = [:]
    /// Files that are not written.
    public var absent: Set<String> = []

    public init() {
        let shapes: [(String, [Int])] = [
            ("model.embed_tokens.weight", [10, 8]), ("model.norm.weight", [8]), ("lm_head.weight", [10, 8]),
            ("model.layers.0.input_layernorm.weight", [8]), ("model.layers.0.self_attn.q_proj.weight", [8, 8]),
            ("model.layers.0.self_attn.k_proj.weight", [4, 8]), ("model.layers.0.self_attn.v_proj.weight", [4, 8]),
            ("model.layers.0.self_attn.o_proj.weight", [8, 8]),
            ("model.layers.0.post_attention_layernorm.weight", [8]), ("model.layers.0.mlp.gate_proj.weight", [12, 8]),
            ("model.layers.0.mlp.up_proj.weight", [12, 8]), ("model.layers.0.mlp.down_proj.weight", [8, 12]),
        ]
        for (name, shape) in shapes { weights.add(name, shape) }
    }

    public func write() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        var files = files
        let members = settings.sorted { $0.key < $1.key }.map { #""\#($0.key)": \#($0.value)"# }
        files["config.json"] = files["config.json"] ?? Data("{\(members.joined(separator: ", "))}".utf8)
        files["model.safetensors"] = files["model.safetensors"] ?? weights.build()
        for (name, data) in files where !absent.contains(name) { try folder.write(data, to: name) }
        return folder
    }
}
