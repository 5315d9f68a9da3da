package import MartletCheckpoints
package import MartletGraph

/// The text path of Llama 3.2 Vision (Grattafiori et al. 2024, "The Llama 3 Herd of Models", section 7): a Llama 3.1, between
/// whose layers others attend to images. Without images those are skipped, and what is left is the Llama that they were
/// trained around.
package struct Llama32Vision: CausalLM {
    private let text: Llama

    package init(_ weights: Weights, contextLength: Int) throws(CheckpointError) {
        var design = Llama.Design(weights.configuration)
        design.skippedLayers = try Self.imageLayers(weights)
        design.extraEmbeddings = Self.extraEmbeddings
        text = try Llama(weights, contextLength: contextLength, design)
        for layer in design.skippedLayers { weights.ignore("model.layers.\(layer).") }
        for part in ["vision_model.", "model.vision_model.", "multi_modal_projector."] { weights.ignore(part) }
    }

    /// The token that stands for an image, and what fills its row of eight up: no logits, so no text, have them.
    private static let extraEmbeddings = 8

    /// The layers that attend to images.
    private static func imageLayers(_ weights: Weights) throws(CheckpointError) -> Set<Int> {
        let key = "cross_attention_layers"
        let settings = try weights.settings().textSettings()
        let layers = try settings.required(settings.integers(key), key)
        let count = weights.configuration.layerCount
        guard layers.allSatisfy({ (0..<count).contains($0) }), Set(layers).count < count else {
            throw settings.failure(key, "is \(layers), which does not leave some of \(count) layers")
        }
        return Set(layers)
    }

    package func callAsFunction(_ tokens: Tracer) -> Tensor { text(tokens) }
}
