import MartletCheckpoints
import MartletGraph

/// The vision transformer of CLIP (Radford et al. 2021): patches and a class token with learned positions, then pre-norm
/// blocks.
struct CLIPVisionTower {
    let configuration: CLIPVisionConfiguration
    private let patchEmbedding: PatchEmbedding
    /// Positions, `[1 + patches, width]`. The class token is added to the first: its row of the step has no pixels.
    private let positions: LinearWeight
    private let inputNorm: LayerNorm
    private let blocks: [Block]

    /// - Parameter blockCount: how many blocks are run; the file may have more.
    init(
        _ name: String, _ configuration: CLIPVisionConfiguration, blockCount: Int, _ weights: Weights
    ) throws(CheckpointError) {
        self.configuration = configuration
        let width = configuration.hiddenSize
        let patchSize = configuration.patchSize
        patchEmbedding = try PatchEmbedding(
            name + ".embeddings.patch_embedding", kernel: [3, patchSize, patchSize], outputs: width, weights)
        var table = try weights.tensor(
            name + ".embeddings.position_embedding.weight", shape: [1 + configuration.patchCount, width]
        ).dequantized()
        let classToken = try weights.vector(name + ".embeddings.class_embedding", count: width).values
        for (column, value) in classToken.enumerated() { table[column] += value }
        positions = LinearWeight(name + ".positions", ComputedWeight(table, columns: width))
        // The misspelling is the files'.
        inputNorm = try LayerNorm(name + ".pre_layrnorm", width: width, epsilon: configuration.epsilon, weights)
        var blocks: [Block] = []
        for index in 0..<blockCount {
            blocks.append(try Block("\(name).encoder.layers.\(index)", configuration, weights))
        }
        self.blocks = blocks
        for index in blockCount..<configuration.layerCount { weights.ignore("\(name).encoder.layers.\(index).") }
        weights.ignore(name + ".post_layernorm.")
    }

    var patchWidth: Int { patchEmbedding.columns }

    /// - Parameter outputs: after how many blocks the result is wanted; several are put side by side.
    func callAsFunction(_ patches: Tracer, outputs: [Int]) -> Tensor {
        var hidden = patches.scope("embed") { inputNorm(patchEmbedding(patches) + patches.embed(positions)) }
        var states = [hidden]
        for (index, block) in blocks.enumerated() {
            hidden = patches.scope("blocks.\(index)") { block(hidden) }
            states.append(hidden)
        }
        return outputs.count == 1 ? states[outputs[0]] : .concatenate(outputs.map { states[$0] })
    }

    private struct Block {
        let query, key, value, output: Linear
        let attention: VisionAttention
        let feedForward: GELUFeedForward
        let attentionNorm, feedForwardNorm: LayerNorm

        init(
            _ name: String, _ configuration: CLIPVisionConfiguration, _ weights: Weights
        ) throws(CheckpointError) {
            let width = configuration.hiddenSize
            func projection(_ part: String) throws(CheckpointError) -> Linear {
                try Linear("\(name).self_attn.\(part)", inputs: width, outputs: width, bias: true, weights)
            }
            query = try projection("q_proj")
            key = try projection("k_proj")
            value = try projection("v_proj")
            output = try projection("out_proj")
            attention = VisionAttention(
                heads: configuration.headCount, headDim: width / configuration.headCount)
            feedForward = try GELUFeedForward(
                name + ".mlp.fc1", name + ".mlp.fc2", inputs: width, inner: configuration.intermediateSize,
                outputs: width, configuration.activation, weights)
            attentionNorm = try LayerNorm(
                name + ".layer_norm1", width: width, epsilon: configuration.epsilon, weights)
            feedForwardNorm = try LayerNorm(
                name + ".layer_norm2", width: width, epsilon: configuration.epsilon, weights)
        }

        func callAsFunction(_ x: Tensor) -> Tensor {
            let y = attentionNorm(x)
            let h = x + output(attention(q: query(y), k: key(y), v: value(y)))
            return h + feedForward(feedForwardNorm(h))
        }
    }
}

/// `vision_config` of a model with CLIP's vision tower. What it leaves out has the defaults of `CLIPVisionConfig`.
struct CLIPVisionConfiguration {
    let hiddenSize: Int
    let intermediateSize: Int
    let layerCount: Int
    let headCount: Int
    let imageSize: Int
    let patchSize: Int
    let activation: GELU
    let epsilon: Double

    var grid: Int { imageSize / patchSize }
    var patchCount: Int { grid * grid }

    init(_ settings: SettingsFile) throws(CheckpointError) {
        if let type = try settings.string("model_type"), type != "clip_vision_model" {
            throw settings.failure("model_type", "is '\(type)', which is not supported (known: clip_vision_model)")
        }
        func size(_ key: String, _ standard: Int, limit: Int = 1 << 16) throws(CheckpointError) -> Int {
            try settings.optionalSize(key, limit: limit) ?? standard
        }
        hiddenSize = try size("hidden_size", 768)
        intermediateSize = try size("intermediate_size", 3072)
        layerCount = try size("num_hidden_layers", 12, limit: 1024)
        headCount = try size("num_attention_heads", 12)
        imageSize = try size("image_size", 224, limit: 4096)
        patchSize = try size("patch_size", 32, limit: 256)
        epsilon = try settings.optionalPositiveNumber("layer_norm_eps", below: 1) ?? 1e-5
        activation = try settings.activation("hidden_act", default: .quick)
        let channels = try size("num_channels", 3)
        guard channels == 3 else { throw settings.failure("num_channels", "is \(channels), expected 3") }
        guard hiddenSize % headCount == 0, hiddenSize / headCount % 2 == 0, hiddenSize / headCount <= 1024 else {
            throw settings.failure(
                "num_attention_heads", "is \(headCount), which does not fit a width of \(hiddenSize)")
        }
        guard imageSize >= patchSize, patchCount < 1 << 16 else {
            throw settings.failure("image_size", "is \(imageSize), which does not fit patches of \(patchSize)")
        }
    }
}
