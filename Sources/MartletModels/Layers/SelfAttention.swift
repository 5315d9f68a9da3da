import MartletCheckpoints
import MartletGraph

/// Grouped-query attention (Ainslie et al. 2023) with rotary positions.
struct SelfAttention {
    private let query: Linear
    private let key: Linear
    private let value: Linear
    private let output: Linear
    private let queryNorm: RMSNorm?
    private let keyNorm: RMSNorm?
    private let rotary: RotaryEmbedding
    private let parameters: AttentionParameters

    init(
        _ name: String, layer: Int, _ design: Llama.Design, _ rotary: RotaryEmbedding, _ weights: Weights
    ) throws(CheckpointError) {
        let model = weights.configuration
        let (heads, kvHeads) = (model.headCount * model.headDim, model.kvHeadCount * model.headDim)
        let bias = design.attentionInputBias
        query = try Linear(name + ".q_proj", inputs: model.hiddenSize, outputs: heads, bias: bias, weights)
        key = try Linear(name + ".k_proj", inputs: model.hiddenSize, outputs: kvHeads, bias: bias, weights)
        value = try Linear(name + ".v_proj", inputs: model.hiddenSize, outputs: kvHeads, bias: bias, weights)
        output = try Linear(
            name + ".o_proj", inputs: heads, outputs: model.hiddenSize, bias: design.attentionOutputBias, weights)
        queryNorm = design.queryKeyNorm ? try RMSNorm(name + ".q_norm", width: model.headDim, weights) : nil
        keyNorm = design.queryKeyNorm ? try RMSNorm(name + ".k_norm", width: model.headDim, weights) : nil
        self.rotary = rotary
        parameters = AttentionParameters(
            kv: KVLayer(layer: layer, kvHeads: model.kvHeadCount, headDim: model.headDim), heads: model.headCount,
            scale: 1 / Float(model.headDim).squareRoot(), window: model.slidingWindow(ofLayer: layer) ?? 0)
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
        let headDim = parameters.kv.headDim
        var (q, k) = (query(x), key(x))
        let v = value(x)
        if let queryNorm, let keyNorm { (q, k) = (queryNorm(q), keyNorm(k)) }
        return output(
            .attention(
                q: q.rope(rotary, headDim: headDim), k: k.rope(rotary, headDim: headDim), v: v, parameters))
    }
}
