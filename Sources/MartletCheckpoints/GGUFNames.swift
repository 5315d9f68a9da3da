/// Canonical (Hugging Face) names of GGUF's tensors. GGUF's names: `gguf-py/gguf/constants.py` of llama.cpp.
///
/// The experts of a mixture layer are one stacked tensor [experts, outputs, inputs] in GGUF; its canonical name is that of
/// one expert without the number, `model.layers.N.mlp.experts.gate_proj.weight`.
package enum GGUFNames {
    /// The canonical name, or nil for a tensor that no supported architecture has.
    package static func canonical(_ name: String, architecture: String) -> String? {
        if let whole = global[name] { return whole }
        let parts = name.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == "blk", let layer = layerNumber(parts[1]),
            let dot = parts[2].lastIndex(of: ".")
        else { return nil }
        let module = String(parts[2][..<dot])
        let parameter = parts[2][dot...]
        guard parameter == ".weight" || parameter == ".bias" else { return nil }
        // Architectures with norms before and after each half: what GGUF calls the feed-forward norm is another one.
        let special = sandwichNormArchitectures.contains(architecture) ? sandwichNorms[module] : nil
        guard let canonical = special ?? block[module] else { return nil }
        return "model.layers.\(layer).\(canonical)\(parameter)"
    }

    /// Architectures for whose q and k projections llama.cpp's converter interleaves rope's halves; the others (all Qwen)
    /// keep Hugging Face's order.
    static let interleavedArchitectures: Set<String> = ["llama"]

    /// How the rows of a tensor with this canonical name lie in the file.
    static func rowOrder(_ canonical: String, configuration: ModelConfiguration) -> RowOrder {
        guard interleavedArchitectures.contains(configuration.architecture),
            let module = canonical.split(separator: ".").dropLast().last
        else { return .identity }
        switch module {
        case "q_proj": return .interleavedRope(heads: configuration.headCount, headDim: configuration.headDim)
        case "k_proj": return .interleavedRope(heads: configuration.kvHeadCount, headDim: configuration.headDim)
        default: return .identity
        }
    }

    /// Hugging Face's `model_type` of a GGUF architecture.
    static func modelType(_ architecture: String) -> String {
        ["qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe"][architecture] ?? architecture
    }

    /// Divisors of rope's frequencies, [rotary dimensions / 2]; Hugging Face computes them from the configuration instead.
    package static let ropeFactors = "rope_freqs.weight"

    /// Digits only, without leading zeros, so that two names never mean the same layer.
    private static func layerNumber(_ text: Substring) -> Int? {
        guard let number = Int(text), number >= 0, String(number) == text else { return nil }
        return number
    }

    private static let global = [
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "output_norm.bias": "model.norm.bias",
        "output.weight": "lm_head.weight",
        "output.bias": "lm_head.bias",
        ropeFactors: ropeFactors,
    ]

    private static let block = [
        "attn_norm": "input_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_qkv": "self_attn.qkv_proj",
        "attn_output": "self_attn.o_proj",
        "attn_q_norm": "self_attn.q_norm",
        "attn_k_norm": "self_attn.k_norm",
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "post_attention_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
        "ffn_gate_inp": "mlp.gate",
        "ffn_gate_exps": "mlp.experts.gate_proj",
        "ffn_up_exps": "mlp.experts.up_proj",
        "ffn_down_exps": "mlp.experts.down_proj",
        "ffn_gate_inp_shexp": "mlp.shared_expert_gate",
        "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
        "ffn_up_shexp": "mlp.shared_expert.up_proj",
        "ffn_down_shexp": "mlp.shared_expert.down_proj",
    ]

    private static let sandwichNormArchitectures: Set<String> = ["gemma2", "gemma3"]
    private static let sandwichNorms = ["ffn_norm": "pre_feedforward_layernorm"]
}
