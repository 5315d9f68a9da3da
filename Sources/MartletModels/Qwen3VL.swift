package import MartletCheckpoints
package import MartletGraph
import MartletImages

/// Qwen3-VL (Bai et al. 2025): Qwen3 with interleaved M-RoPE. What some layers of the vision tower see is added to the rows of
/// image tokens after the first layers of the language model (DeepStack, Meng et al. 2024).
package struct Qwen3VL: CausalLM {
    private let text: Llama
    package let vision: (any VisionModel)?

    package init(_ weights: Weights, contextLength: Int) throws(CheckpointError) {
        let tower = try Qwen3Vision(weights)
        vision = tower
        var design = Qwen3.design(weights.configuration)
        design.hasImageTokens = true
        design.deepstackLayers = tower.deepstackCount
        design.rotaryAxes = try MRoPE(weights.settings().textSettings()).axes(weights.configuration)
        text = try Llama(weights, contextLength: contextLength, design)
    }

    package func callAsFunction(_ tokens: Tracer) -> Tensor { text(tokens) }
}

/// The vision tower of Qwen3-VL: a vision transformer with rotary positions and learned ones besides.
struct Qwen3Vision: VisionModel {
    let imageToken: Int
    private let configuration: GridVisionConfiguration
    private let patchEmbedding: PatchEmbedding
    private let positions: PositionGrid
    private let blocks: [Block]
    private let norm: LayerNorm
    private let merger: GELUFeedForward
    private let deepstack: [Deepstack]

    /// Makes rows of what a layer of the tower sees.
    private struct Deepstack {
        let block: Int
        let norm: LayerNorm
        let merger: GELUFeedForward
    }

    init(_ weights: Weights) throws(CheckpointError) {
        let root = try weights.settings()
        imageToken = try root.imageToken()
        let settings = try root.required(root.section("vision_config"), "vision_config")
        let configuration = try GridVisionConfiguration(
            settings, Self.defaults, textWidth: weights.configuration.hiddenSize)
        self.configuration = configuration
        let width = configuration.hiddenSize
        let patch = [3, configuration.temporalPatchSize, configuration.patchSize, configuration.patchSize]
        patchEmbedding = try PatchEmbedding(
            "visual.patch_embed.proj", kernel: patch, outputs: width, bias: true, weights)
        positions = try PositionGrid(
            "visual.pos_embed", count: settings.optionalSize("num_position_embeddings", limit: 1 << 20) ?? 2304,
            width: width, settings, weights)
        let activation = try settings.activation("hidden_act", default: .tanh)
        var blocks: [Block] = []
        for index in 0..<configuration.layerCount {
            blocks.append(try Block("visual.blocks.\(index)", configuration, activation, weights))
        }
        self.blocks = blocks
        let mergedWidth = width * configuration.mergedCount
        func merger(_ name: String) throws(CheckpointError) -> GELUFeedForward {
            try GELUFeedForward(
                name + ".linear_fc1", name + ".linear_fc2", inputs: mergedWidth, inner: mergedWidth,
                outputs: configuration.outputSize, .exact, weights)
        }
        norm = try LayerNorm("visual.merger.norm", width: width, epsilon: Self.epsilon, weights)
        self.merger = try merger("visual.merger")
        var deepstack: [Deepstack] = []
        let key = "deepstack_visual_indexes"
        for block in try settings.integers(key) ?? [8, 16, 24] {
            guard (0..<blocks.count).contains(block), deepstack.count < weights.configuration.layerCount else {
                throw settings.failure(key, "has \(block), which does not fit the model's layers")
            }
            let name = "visual.deepstack_merger_list.\(deepstack.count)"
            deepstack.append(
                Deepstack(
                    block: block,
                    norm: try LayerNorm(name + ".norm", width: mergedWidth, epsilon: Self.epsilon, weights),
                    merger: try merger(name)))
        }
        self.deepstack = deepstack
    }

    private static let epsilon = 1e-6

    /// Those of `Qwen3VLVisionConfig`.
    private static let defaults = GridVisionConfiguration.Defaults(
        hiddenSize: 1152, intermediateSize: 4304, layerCount: 27, patchSize: 16)

    var deepstackCount: Int { deepstack.count }
    var patchSize: Int { configuration.patchSize }
    var patchWidth: Int { patchEmbedding.columns }
    var mergeSize: Int { configuration.mergeSize }
    var fixedRows: (step: Int, result: Int)? { nil }
    var hasGridPositions: Bool { true }

    /// A row of the step is a patch's pixels and its position's embedding; one of the result is the token's embedding and
    /// what is added to it layer by layer.
    func callAsFunction(_ patches: Tracer) -> Tensor {
        let count = configuration.mergedCount
        var hidden = patches.scope("embed") {
            patchEmbedding(patches)
                + patches.features(column: patchEmbedding.columns, width: configuration.hiddenSize)
        }
        var added: [Tensor] = []
        for (index, block) in blocks.enumerated() {
            hidden = patches.scope("blocks.\(index)") { block(hidden) }
            for stage in deepstack where stage.block == index {
                added.append(patches.scope("deepstack") { stage.merger(stage.norm(hidden.groupedRows(count))) })
            }
        }
        let merged = patches.scope("merger") { merger(norm(hidden).groupedRows(count)) }
        return .concatenate([merged] + added)
    }

    func input(_ patches: ImagePatches) throws(VisionError) -> VisionInput {
        let places = configuration.positions(gridHeight: patches.gridHeight, gridWidth: patches.gridWidth)
        let width = patches.width + configuration.hiddenSize
        var values: [Float] = []
        values.reserveCapacity(patches.count * width)
        for (patch, place) in places.enumerated() {
            values += patches.values[patch * patches.width..<(patch + 1) * patches.width]
            values += positions.embedding(
                row: Int(place[1]), of: patches.gridHeight, column: Int(place[2]), of: patches.gridWidth)
        }
        return VisionInput(
            tokens: [Int32](repeating: 0, count: patches.count),
            features: TokenFeatures(
                spans: [.init(first: 0, rows: FeatureRows(values, width: width))], rotaryPositions: places),
            resultCount: patches.count / configuration.mergedCount)
    }

    private struct Block {
        let queryKeyValue, output: Linear
        let attention: VisionAttention
        let feedForward: GELUFeedForward
        let attentionNorm, feedForwardNorm: LayerNorm

        init(
            _ name: String, _ configuration: GridVisionConfiguration, _ activation: GELU, _ weights: Weights
        ) throws(CheckpointError) {
            let width = configuration.hiddenSize
            queryKeyValue = try Linear(name + ".attn.qkv", inputs: width, outputs: 3 * width, bias: true, weights)
            output = try Linear(name + ".attn.proj", inputs: width, outputs: width, bias: true, weights)
            attention = VisionAttention(
                heads: configuration.headCount, headDim: configuration.headDim, rotary: configuration.rotary)
            feedForward = try GELUFeedForward(
                name + ".mlp.linear_fc1", name + ".mlp.linear_fc2", inputs: width,
                inner: configuration.intermediateSize, outputs: width, activation, weights)
            attentionNorm = try LayerNorm(name + ".norm1", width: width, epsilon: Qwen3Vision.epsilon, weights)
            feedForwardNorm = try LayerNorm(name + ".norm2", width: width, epsilon: Qwen3Vision.epsilon, weights)
        }

        func callAsFunction(_ x: Tensor) -> Tensor {
            let h = x + output(attention(queryKeyValue: queryKeyValue(attentionNorm(x))))
            return h + feedForward(feedForwardNorm(h))
        }
    }
}

/// Learned positions of a square grid, stretched over images of any size: bilinear between the four nearest.
private struct PositionGrid {
    private let side: Int
    private let width: Int
    /// `[side · side][width]`.
    private let values: [Float]

    init(
        _ name: String, count: Int, width: Int, _ settings: SettingsFile, _ weights: Weights
    ) throws(CheckpointError) {
        side = Int(Double(count).squareRoot().rounded())
        guard side * side == count else {
            throw settings.failure("num_position_embeddings", "is \(count), which is no square")
        }
        self.width = width
        values = try weights.tensor(name + ".weight", shape: [count, width]).dequantized()
    }

    func embedding(row: Int, of height: Int, column: Int, of width: Int) -> [Float] {
        let (y, x) = (place(row, of: height), place(column, of: width))
        var result = [Float](repeating: 0, count: self.width)
        for (gridRow, rowShare) in [(y.low, 1 - y.share), (y.high, y.share)] {
            for (gridColumn, columnShare) in [(x.low, 1 - x.share), (x.high, x.share)] {
                let start = (gridRow * side + gridColumn) * self.width
                let share = rowShare * columnShare
                for index in 0..<self.width { result[index] += share * values[start + index] }
            }
        }
        return result
    }

    /// Index i of `count` on the grid's side: the first and last fall on its ends.
    private func place(_ index: Int, of count: Int) -> (low: Int, high: Int, share: Float) {
        let position = count > 1 ? Float(side - 1) * Float(index) / Float(count - 1) : 0
        let low = min(Int(position), side - 1)
        return (low, min(low + 1, side - 1), position - Float(low))
    }
}
