package import MartletCheckpoints
package import MartletGraph

/// Qwen3's mixtures of experts (Yang et al. 2025): Qwen3 with experts in the place of most feed-forward networks.
package struct Qwen3MoE: CausalLM {
    private let model: Llama

    package init(_ weights: Weights, contextLength: Int) throws(CheckpointError) {
        var design = Qwen3.design(weights.configuration)
        guard let experts = weights.configuration.experts else {
            throw CheckpointError(file: weights.path, reason: "is a mixture of experts without a number of experts")
        }
        design.feedForward = { layer, name, weights throws(CheckpointError) in
            if experts.denseLayers.contains(layer) { return try GatedFeedForward(name, weights) }
            return try MixtureOfExperts(name, experts, weights)
        }
        model = try Llama(weights, contextLength: contextLength, design)
    }

    package func callAsFunction(_ tokens: Tracer) -> Tensor { model(tokens) }
}
