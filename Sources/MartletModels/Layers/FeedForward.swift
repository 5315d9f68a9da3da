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
        let down = try Linear(name + ".down_proj", inputs: inner, outputs: width, bias: bias, weights)
        // Gate and up give their columns in the order that down reads, so that none has to be moved in a step.
        let order = down.inputOrder
        gate = try Linear(
            name + ".gate_proj", inputs: width, outputs: inner, bias: bias, outputOrder: order, weights)
        up = try Linear(name + ".up_proj", inputs: width, outputs: inner, bias: bias, outputOrder: order, weights)
        self.down = down.takingOrderedInput()
    }

    func callAsFunction(_ x: Tensor) -> Tensor { down(gate(x).silu() * up(x)) }
}
