package import MartletCheckpoints
package import MartletGraph
import MartletImages

/// Qwen2.5-VL (Bai et al. 2025): Qwen2 with three rotary positions a token (M-RoPE), and a vision tower for images of any
/// size, most of whose layers attend within windows.
package struct Qwen25VL: CausalLM {
    private let text: Llama
    package let vision: (any VisionModel)?

    package init(_ weights: Weights, contextLength: Int) throws(CheckpointError) {
        vision = try Qwen25Vision(weights)
        var design = Llama.Design(weights.configuration)
        design.attentionInputBias = true
        design.attentionOutputBias = false
        design.hasImageTokens = true
        let settings = try weights.settings()
        design.rotaryAxes = try MRoPE(settings.textSettings()).axes(weights.configuration)
        text = try Llama(weights, contextLength: contextLength, design)
    }

    package func callAsFunction(_ tokens: Tracer) -> Tensor { text(tokens) }
}

/// The vision tower of Qwen2.5-VL.
struct Qwen25Vision: VisionModel {
    let imageToken: Int
    private let configuration: GridVisionConfiguration
    private let patchEmbedding: PatchEmbedding
    private let blocks: [Block]
    private let norm: RMSNorm
    private let merger: GELUFeedForward
    /// Image tokens along the side of a window.
    private let windowSide: Int

    init(_ weights: Weights) throws(CheckpointError) {
        let root = try weights.settings()
        imageToken = try root.imageToken()
        let settings = try root.required(root.section("vision_config"), "vision_config")
        let configuration = try GridVisionConfiguration(
            settings, Self.defaults, textWidth: weights.configuration.hiddenSize)
        self.configuration = configuration
        let activation = try settings.string("hidden_act") ?? "silu"
        guard activation == "silu" else { throw settings.failure("hidden_act", "is '\(activation)', expected 'silu'") }
        let window = try settings.optionalSize("window_size", limit: 1 << 16) ?? 112
        let merged = configuration.patchSize * configuration.mergeSize
        guard window >= merged else {
            throw settings.failure("window_size", "is \(window), less than the \(merged) pixels of merged patches")
        }
        windowSide = window / merged
        let full = Set(try settings.integers("fullatt_block_indexes") ?? [7, 15, 23, 31])
        let patch = [3, configuration.temporalPatchSize, configuration.patchSize, configuration.patchSize]
        let width = configuration.hiddenSize
        patchEmbedding = try PatchEmbedding("visual.patch_embed.proj", kernel: patch, outputs: width, weights)
        var blocks: [Block] = []
        for index in 0..<configuration.layerCount {
            blocks.append(
                try Block("visual.blocks.\(index)", configuration, full.contains(index) ? .all : .window, weights))
        }
        self.blocks = blocks
        norm = try RMSNorm("visual.merger.ln_q", width: width, epsilon: Self.epsilon, weights)
        let mergedWidth = width * configuration.mergedCount
        merger = try GELUFeedForward(
            "visual.merger.mlp.0", "visual.merger.mlp.2", inputs: mergedWidth, inner: mergedWidth,
            outputs: configuration.outputSize, .exact, weights)
    }

    private static let epsilon = 1e-6

    /// Those of `Qwen2_5_VLVisionConfig`.
    private static let defaults = GridVisionConfiguration.Defaults(
        hiddenSize: 3584, intermediateSize: 3420, layerCount: 32, patchSize: 14)

    var patchSize: Int { configuration.patchSize }
    var patchWidth: Int { patchEmbedding.columns }
    var mergeSize: Int { configuration.mergeSize }
    var fixedRows: (step: Int, result: Int)? { nil }
    var hasGridPositions: Bool { true }

    func callAsFunction(_ patches: Tracer) -> Tensor {
        var hidden = patches.scope("embed") { patchEmbedding(patches) }
        for (index, block) in blocks.enumerated() {
            hidden = patches.scope("blocks.\(index)") { block(hidden) }
        }
        return patches.scope("merger") { merger(norm(hidden).groupedRows(configuration.mergedCount)) }
    }

    /// Patches go through the tower window by window.
    func input(_ patches: ImagePatches) throws(VisionError) -> VisionInput {
        let merge = configuration.mergeSize
        let (height, width) = (patches.gridHeight / merge, patches.gridWidth / merge)
        var order: [Int] = []
        var windows: [Int] = []
        for top in stride(from: 0, to: height, by: windowSide) {
            for left in stride(from: 0, to: width, by: windowSide) {
                let before = order.count
                for y in top..<min(top + windowSide, height) {
                    order += (left..<min(left + windowSide, width)).map { y * width + $0 }
                }
                windows.append((order.count - before) * configuration.mergedCount)
            }
        }
        let count = configuration.mergedCount
        let positions = configuration.positions(gridHeight: patches.gridHeight, gridWidth: patches.gridWidth)
        let rowFloats = patches.width * count
        var values: [Float] = []
        values.reserveCapacity(patches.values.count)
        for token in order { values += patches.values[token * rowFloats..<(token + 1) * rowFloats] }
        var input = VisionInput(
            tokens: [Int32](repeating: 0, count: patches.count),
            features: TokenFeatures(
                spans: [.init(first: 0, rows: FeatureRows(values, width: patches.width))],
                rotaryPositions: order.flatMap { positions[$0 * count..<($0 + 1) * count] }),
            resultCount: order.count)
        input.windows = windows
        input.order = [Int](repeating: 0, count: order.count)
        for (row, token) in order.enumerated() { input.order[token] = row }
        return input
    }

    private struct Block {
        let queryKeyValue, output: Linear
        let attention: VisionAttention
        let gate, up, down: Linear
        let attentionNorm, feedForwardNorm: RMSNorm

        init(
            _ name: String, _ configuration: GridVisionConfiguration, _ scope: AttentionScope, _ weights: Weights
        ) throws(CheckpointError) {
            let (width, inner) = (configuration.hiddenSize, configuration.intermediateSize)
            queryKeyValue = try Linear(name + ".attn.qkv", inputs: width, outputs: 3 * width, bias: true, weights)
            output = try Linear(name + ".attn.proj", inputs: width, outputs: width, bias: true, weights)
            attention = VisionAttention(
                heads: configuration.headCount, headDim: configuration.headDim, scope: scope,
                rotary: configuration.rotary)
            gate = try Linear(name + ".mlp.gate_proj", inputs: width, outputs: inner, bias: true, weights)
            up = try Linear(name + ".mlp.up_proj", inputs: width, outputs: inner, bias: true, weights)
            down = try Linear(name + ".mlp.down_proj", inputs: inner, outputs: width, bias: true, weights)
            attentionNorm = try RMSNorm(name + ".norm1", width: width, epsilon: Qwen25Vision.epsilon, weights)
            feedForwardNorm = try RMSNorm(name + ".norm2", width: width, epsilon: Qwen25Vision.epsilon, weights)
        }

        func callAsFunction(_ x: Tensor) -> Tensor {
            let h = x + output(attention(queryKeyValue: queryKeyValue(attentionNorm(x))))
            let y = feedForwardNorm(h)
            return h + down(gate(y).silu() * up(y))
        }
    }
}
