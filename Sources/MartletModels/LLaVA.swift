package import MartletCheckpoints
package import MartletGraph
import MartletImages

/// LLaVA-1.5 (Liu et al. 2023, "Improved Baselines with Visual Instruction Tuning"): a Llama, in whose text the rows of
/// image tokens are what CLIP and a two-layer projector make of an image.
package struct LLaVA: CausalLM {
    private let text: any CausalLM
    package let vision: (any VisionModel)?

    package init(_ weights: Weights, contextLength: Int) throws(CheckpointError) {
        let text = try weights.settings().textSettings()
        if let type = try text.string("model_type"), !["llama", "mistral"].contains(type) {
            throw text.failure("model_type", "is '\(type)', which is not supported (known: llama, mistral)")
        }
        vision = try LLaVAVision(weights)
        var design = Llama.Design(weights.configuration)
        design.hasImageTokens = true
        self.text = try Llama(weights, contextLength: contextLength, design)
    }

    package func callAsFunction(_ tokens: Tracer) -> Tensor { text(tokens) }
}

/// CLIP's vision tower without its last blocks, and the projector into the width of the language model.
struct LLaVAVision: VisionModel {
    let imageToken: Int
    private let tower: CLIPVisionTower
    private let projector: GELUFeedForward
    /// After how many blocks the tower's states are taken.
    private let outputs: [Int]
    /// Whether the class token's row is left out.
    private let dropsClassToken: Bool

    init(_ weights: Weights) throws(CheckpointError) {
        let settings = try weights.settings()
        let configuration = try CLIPVisionConfiguration(
            settings.required(settings.section("vision_config"), "vision_config"))
        imageToken = try settings.imageToken()
        outputs = try Self.outputs(settings, layerCount: configuration.layerCount)
        let strategy = try settings.string("vision_feature_select_strategy") ?? "default"
        guard ["default", "full"].contains(strategy) else {
            throw settings.failure("vision_feature_select_strategy", "is '\(strategy)', expected 'default' or 'full'")
        }
        dropsClassToken = strategy == "default"
        tower = try CLIPVisionTower(
            "vision_tower", configuration, blockCount: outputs.max() ?? 0, weights)
        let width = weights.configuration.hiddenSize
        projector = try GELUFeedForward(
            "multi_modal_projector.linear_1", "multi_modal_projector.linear_2",
            inputs: configuration.hiddenSize * outputs.count, inner: width, outputs: width,
            settings.activation("projector_hidden_act", default: .exact),
            bias: settings.boolean("multimodal_projector_bias") ?? true, weights)
    }

    /// `vision_feature_layer`: one or several; 0 is what enters the blocks, -1 what leaves the last.
    private static func outputs(_ settings: SettingsFile, layerCount: Int) throws(CheckpointError) -> [Int] {
        let key = "vision_feature_layer"
        let layers = try settings.isList(key) ? settings.integers(key) ?? [] : [settings.integer(key) ?? -2]
        guard !layers.isEmpty, layers.count <= 64 else { throw settings.failure(key, "is not 1 to 64 layers") }
        return try layers.map { (layer) throws(CheckpointError) in
            let index = layer < 0 ? layer + layerCount + 1 : layer
            guard (0...layerCount).contains(index) else {
                throw settings.failure(key, "is \(layer), but there are \(layerCount) layers")
            }
            return index
        }
    }

    var patchSize: Int { tower.configuration.patchSize }

    var patchWidth: Int { tower.patchWidth }

    private var rowCount: Int { 1 + tower.configuration.patchCount }
    private var resultCount: Int { rowCount - (dropsClassToken ? 1 : 0) }
    var fixedRows: (step: Int, result: Int)? { (rowCount, resultCount) }

    func callAsFunction(_ patches: Tracer) -> Tensor {
        let states = tower(patches, outputs: outputs).sampledRows()
        return patches.scope("projector") { projector(states) }
    }

    func input(_ patches: ImagePatches) throws(VisionError) -> VisionInput {
        let grid = tower.configuration.grid
        guard patches.gridHeight == grid, patches.gridWidth == grid else {
            throw VisionError(
                "the image processor makes \(patches.gridWidth) x \(patches.gridHeight) patches, but the vision tower "
                    + "takes \(grid) x \(grid)")
        }
        let pixels = FeatureRows(patches.values, width: patches.width)
        return VisionInput(
            tokens: (0..<rowCount).map { Int32($0) },
            features: TokenFeatures(spans: [.init(first: 1, rows: pixels)]), resultCount: resultCount)
    }
}

extension SettingsFile {
    /// The token that stands for a row of an image.
    func imageToken() throws(CheckpointError) -> Int {
        let key = has("image_token_id") ? "image_token_id" : "image_token_index"
        let token = try required(integer(key), key)
        guard (0..<Int(Int32.max)).contains(token) else { throw failure(key, "is \(token), which is no token") }
        return token
    }
}
