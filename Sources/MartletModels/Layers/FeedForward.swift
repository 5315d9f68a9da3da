import MartletCheckpoints
import MartletGraph

/// What follows attention in a decoder layer: it works on each token alone.
protocol FeedForward: Sendable {
    func callAsFunction(_ x: Tensor) -> Tensor
}

/// SwiGLU (Shazeer 2020): down(silu(gate(x)) · up(x)).
struct GatedFeedForward: FeedForward {
    private let gate: Linear
    private let up: Linear
    private let down: Linear

    init(_ name: String, _ weights: Weights) throws(CheckpointError) {
        let model = weights.configuration
        let (width, inner, bias) = (model.hiddenSize, model.intermediateSize, model.feedForwardBias)
        gate = try Linear(name + ".gate_proj", inputs: width, outputs: inner, bias: bias, weights)
        up = try Linear(name + ".up_proj", inputs: width, outputs: inner, bias: bias, weights)
        down = try Linear(name + ".down_proj", inputs: inner, outputs: width, bias: bias, weights)
    }

    func callAsFunction(_ x: Tensor) -> Tensor { down(gate(x).silu() * up(x)) }
}
