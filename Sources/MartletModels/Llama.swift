package import MartletCheckpoints
package import MartletGraph

/// Llama (Touvron et al. 2023; Grattafiori et al. 2024, "The Llama 3 Herd of Models").
///
/// Other architectures differ from it in a few details, which are a `Design`.
package struct Llama: CausalLM {
    /// What tells one model of the family from another.
    struct Design {
        /// The q, k and v projections have biases.
        var attentionInputBias: Bool
        /// The attention's output projection has a bias.
        var attentionOutputBias: Bool
        /// The queries and keys of each head are normalized before they are rotated.
        var queryKeyNorm = false
        /// Some tokens stand for images, and bring their rows with them.
        var hasImageTokens = false
        /// After how many of the first layers more of what an image token brings is added.
        var deepstackLayers = 0
        /// Which of a token's three positions turns each pair of a head; empty where there is but one.
        var rotaryAxes: [UInt8] = []
        /// Layers of the file that text alone does not go through.
        var skippedLayers: Set<Int> = []
        /// Rows of the embedding table behind the vocabulary, which no text has.
        var extraEmbeddings = 0
        /// Makes the feed-forward network called `name` of a layer.
        var feedForward: (_ layer: Int, _ name: String, Weights) throws(CheckpointError) -> any FeedForward

        /// Llama itself: biases where the configuration says so.
        init(_ model: ModelConfiguration) {
            attentionInputBias = model.attentionInputBias
            attentionOutputBias = model.attentionOutputBias
            feedForward = { _, name, weights throws(CheckpointError) in try GatedFeedForward(name, weights) }
        }
    }

    private let hasImageTokens: Bool
    private let deepstackLayers: Int
    private let embedding: Embedding
    private let layers: [DecoderLayer]
    private let norm: RMSNorm
    private let head: Linear

    package init(_ weights: Weights, contextLength: Int) throws(CheckpointError) {
        try self.init(weights, contextLength: contextLength, Design(weights.configuration))
    }

    init(_ weights: Weights, contextLength: Int, _ design: Design) throws(CheckpointError) {
        let model = weights.configuration
        hasImageTokens = design.hasImageTokens
        deepstackLayers = design.deepstackLayers
        embedding = try Embedding(
            "model.embed_tokens", count: model.vocabularySize + design.extraEmbeddings, width: model.hiddenSize, weights
        )
        let factors = try model.rope.frequencyFactorsTensor.map { name throws(CheckpointError) in
            try weights.vector(name, count: model.rope.dimensionCount / 2).values
        }
        var rotary = RotaryEmbedding(model.rope, contextLength: contextLength, factors: factors)
        rotary.axes = design.rotaryAxes
        var layers: [DecoderLayer] = []
        for layer in 0..<model.layerCount where !design.skippedLayers.contains(layer) {
            layers.append(try DecoderLayer(layer, kvLayer: layers.count, design, rotary, weights))
        }
        self.layers = layers
        norm = try RMSNorm("model.norm", width: model.hiddenSize, weights)
        head =
            model.tieWordEmbeddings
            ? Linear(tiedTo: embedding)
            : try Linear("lm_head", inputs: model.hiddenSize, outputs: model.vocabularySize, weights)
    }

    package func callAsFunction(_ tokens: Tracer) -> Tensor {
        var hidden = tokens.scope("embed") {
            hasImageTokens ? embedding(tokens).replacedByFeatures() : embedding(tokens)
        }
        for (index, layer) in layers.enumerated() {
            hidden = tokens.scope("layers.\(index)") { layer(hidden, tokens) }
            guard index < deepstackLayers else { continue }
            let width = hidden.shape.width
            hidden = tokens.scope("deepstack") { hidden + tokens.features(column: (index + 1) * width, width: width) }
        }
        return tokens.scope("head") { head(norm(hidden).sampledRows()) }
    }
}

/// Pre-norm residual block: attention, then the feed-forward network.
private struct DecoderLayer {
    let attention: SelfAttention
    let feedForward: any FeedForward
    let attentionNorm: RMSNorm
    let feedForwardNorm: RMSNorm

    init(
        _ layer: Int, kvLayer: Int, _ design: Llama.Design, _ rotary: RotaryEmbedding, _ weights: Weights
    ) throws(CheckpointError) {
        let name = "model.layers.\(layer)"
        let width = weights.configuration.hiddenSize
        attention = try SelfAttention(name + ".self_attn", layer: kvLayer, design, rotary, weights)
        feedForward = try design.feedForward(layer, name + ".mlp", weights)
        attentionNorm = try RMSNorm(name + ".input_layernorm", width: width, weights)
        feedForwardNorm = try RMSNorm(name + ".post_attention_layernorm", width: width, weights)
    }

    func callAsFunction(_ x: Tensor, _ tokens: Tracer) -> Tensor {
        let h = x + tokens.scope("attention") { attention(attentionNorm(x)) }
        return h + tokens.scope("mlp") { feedForward(feedForwardNorm(h)) }
    }
}
