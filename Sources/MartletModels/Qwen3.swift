package import MartletCheckpoints
package import MartletGraph

/// Qwen3 (Yang et al. 2025): Llama with an RMS norm on each head's query and key.
package struct Qwen3: CausalLM {
    private let model: Llama

    package init(_ weights: Weights, contextLength: Int) throws(CheckpointError) {
        model = try Llama(weights, contextLength: contextLength, Self.design(weights.configuration))
    }

    static func design(_ configuration: ModelConfiguration) -> Llama.Design {
        var design = Llama.Design(configuration)
        design.queryKeyNorm = true
        return design
    }

    package func callAsFunction(_ tokens: Tracer) -> Tensor { model(tokens) }
}
