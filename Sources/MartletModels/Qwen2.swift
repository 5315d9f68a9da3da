package import MartletCheckpoints
package import MartletGraph

/// Qwen2 and Qwen2.5 (Yang et al. 2024): Llama with biases on the query, key and value projections. In some models the
/// layers from a certain one on attend to a sliding window, as their configuration says.
package struct Qwen2: CausalLM {
    private let model: Llama

    package init(_ weights: Weights, contextLength: Int) throws(CheckpointError) {
        var design = Llama.Design(weights.configuration)
        design.attentionInputBias = true
        design.attentionOutputBias = false
        model = try Llama(weights, contextLength: contextLength, design)
    }

    package func callAsFunction(_ tokens: Tracer) -> Tensor { model(tokens) }
}
