package import MartletCheckpoints
package import MartletGraph

/// Llama (Touvron et al. 2023; Grattafiori et al. 2024, "The Llama 3 Herd of Models").
package struct Llama: CausalLM {
    private let embedding: Embedding
    private let layers: [DecoderLayer]
    private let norm: RMSNorm
    private let head: Linear

    package init(_ weights: Weights, contextLength: Int) throws(CheckpointError) {
        let model = weights.configuration
        embedding = try Embedding(
            "model.embed_tokens", count: model.vocabularySize, width: model.hiddenSize, weights)
        let factors = try model.rope.frequencyFactorsTensor.map { name throws(CheckpointError) in
            try weights.vector(name, count: model.rope.dimensionCount / 2).values
        }
        let rotary = RotaryEmbedding(model.rope, contextLength: contextLength, factors: factors)
        var layers: [DecoderLayer] = []
        for layer in 0..<model.layerCount {
            layers.append(try DecoderLayer(layer, rotary, weights))
        }
        self.layers = layers
        norm = try RMSNorm("model.norm", width: model.hiddenSize, weights)
        head =
            model.tieWordEmbeddings
            ? Linear(tiedTo: embedding)
            : try Linear("lm_head", inputs: model.hiddenSize, outputs: model.vocabularySize, weights)
    }

    package func callAsFunction(_ tokens: Tracer) -> Tensor {
        var hidden = tokens.scope("embed") { embedding(tokens) }
        for (index, layer) in layers.enumerated() {
            hidden = tokens.scope("layers.\(index)") { layer(hidden, tokens) }
        }
        return tokens.scope("head") { head(norm(hidden).sampledRows()) }
    }
}

/// Pre-norm residual block: attention, then the gated feed-forward network.
private struct DecoderLayer {
    let attention: SelfAttention
    let feedForward: GatedFeedForward
    let attentionNorm: RMSNorm
    let feedForwardNorm: RMSNorm

    init(_ layer: Int, _ rotary: RotaryEmbedding, _ weights: Weights) throws(CheckpointError) {
        let name = "model.layers.\(layer)"
        let width = weights.configuration.hiddenSize
        attention = try SelfAttention(name + ".self_attn", layer: layer, rotary, weights)
        feedForward = try GatedFeedForward(name + ".mlp", weights)
        attentionNorm = try RMSNorm(name + ".input_layernorm", width: width, weights)
        feedForwardNorm = try RMSNorm(name + ".post_attention_layernorm", width: width, weights)
    }

    func callAsFunction(_ x: Tensor, _ tokens: Tracer) -> Tensor {
        let h = x + tokens.scope("attention") { attention(attentionNorm(x)) }
        return h + tokens.scope("mlp") { feedForward(feedForwardNorm(h)) }
    }
}

/// Grouped-query attention with rotary positions.
private struct SelfAttention {
    let query: Linear
    let key: Linear
    let value: Linear
    let output: Linear
    let rotary: RotaryEmbedding
    let parameters: AttentionParameters

    init(_ name: String, layer: Int, _ rotary: RotaryEmbedding, _ weights: Weights) throws(CheckpointError) {
        let model = weights.configuration
        let (heads, kvHeads) = (model.headCount * model.headDim, model.kvHeadCount * model.headDim)
        let bias = model.attentionInputBias
        query = try Linear(name + ".q_proj", inputs: model.hiddenSize, outputs: heads, bias: bias, weights)
        key = try Linear(name + ".k_proj", inputs: model.hiddenSize, outputs: kvHeads, bias: bias, weights)
        value = try Linear(name + ".v_proj", inputs: model.hiddenSize, outputs: kvHeads, bias: bias, weights)
        output = try Linear(
            name + ".o_proj", inputs: heads, outputs: model.hiddenSize, bias: model.attentionOutputBias, weights)
        self.rotary = rotary
        parameters = AttentionParameters(
            kv: KVLayer(layer: layer, kvHeads: model.kvHeadCount, headDim: model.headDim), heads: model.headCount,
            scale: 1 / Float(model.headDim).squareRoot(), window: model.slidingWindow ?? 0)
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
        let headDim = parameters.kv.headDim
        let (q, k, v) = (query(x), key(x), value(x))
        return output(
            .attention(
                q: q.rope(rotary, headDim: headDim), k: k.rope(rotary, headDim: headDim), v: v, parameters))
    }
}

/// SwiGLU (Shazeer 2020): down(silu(gate(x)) · up(x)).
private struct GatedFeedForward {
    let gate: Linear
    let up: Linear
    let down: Linear

    init(_ name: String, _ weights: Weights) throws(CheckpointError) {
        let model = weights.configuration
        let (width, inner) = (model.hiddenSize, model.intermediateSize)
        gate = try Linear(name + ".gate_proj", inputs: width, outputs: inner, weights)
        up = try Linear(name + ".up_proj", inputs: width, outputs: inner, weights)
        down = try Linear(name + ".down_proj", inputs: inner, outputs: width, weights)
    }

    func callAsFunction(_ x: Tensor) -> Tensor { down(gate(x).silu() * up(x)) }
}
