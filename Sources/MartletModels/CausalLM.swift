package import MartletCheckpoints
package import MartletGraph

/// A decoder-only language model: a forward function that is traced once, from the step's tokens to the logits of the
/// sampled rows.
package protocol CausalLM: Sendable {
    /// Takes the model's tensors from a checkpoint.
    ///
    /// - Parameter contextLength: the longest context it will be run with (some rotary scalings depend on it).
    init(_ weights: Weights, contextLength: Int) throws(CheckpointError)

    /// The part that sees images, in models that do.
    var vision: (any VisionModel)? { get }

    /// - Returns: logits `[sampled, vocabulary]`.
    func callAsFunction(_ tokens: Tracer) -> Tensor
}

extension CausalLM {
    package var vision: (any VisionModel)? { nil }

    /// Records the forward function.
    package func trace() -> Graph {
        let tracer = Tracer()
        return tracer.finish(self(tracer))
    }
}

/// The architectures that Martlet knows, by Hugging Face `model_type`: one line each.
package enum ModelRegistry {
    private static let architectures: [String: any CausalLM.Type] = [
        "llama": Llama.self,
        "llava": LLaVA.self,
        "mistral": Mistral.self,
        "mllama": Llama32Vision.self,
        "mllama_text_model": Llama32Vision.self,
        "qwen2": Qwen2.self,
        "qwen2_5_vl": Qwen25VL.self,
        "qwen3": Qwen3.self,
        "qwen3_moe": Qwen3MoE.self,
        "qwen3_vl": Qwen3VL.self,
    ]

    /// Builds the checkpoint's model.
    ///
    /// - Parameters:
    ///   - rounding: what weights that aren't quantized are rounded to; nil for what the file has.
    ///   - roundsActivations: layers that were made for inputs in 8-bit floats get such; otherwise exact ones.
    /// - Throws: `CheckpointError` for an unknown architecture (with the list of known ones), for tensors that are missing,
    ///   of the wrong shape or type, or left over.
    package static func model(
        of checkpoint: Checkpoint, contextLength: Int, rounding: WeightRounding? = nil, roundsActivations: Bool = true
    ) throws(CheckpointError) -> any CausalLM {
        let name = checkpoint.configuration.architecture
        guard let architecture = architectures[name] else {
            throw CheckpointError(
                file: checkpoint.path,
                reason:
                    "unknown architecture '\(name)'; known are \(architectures.keys.sorted().joined(separator: ", "))")
        }
        let weights = Weights(checkpoint, rounding: rounding, roundsActivations: roundsActivations)
        let model = try architecture.init(weights, contextLength: contextLength)
        try weights.finish()
        return model
    }
}
