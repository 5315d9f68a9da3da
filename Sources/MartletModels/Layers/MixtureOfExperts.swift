import MartletCheckpoints
import MartletGraph

/// A router and its experts: softmax over all of them, the best `perToken` of each token, and the sum of their SwiGLU
/// networks weighted with their (normalized) probabilities.
struct MixtureOfExperts: FeedForward {
    private let router: LinearWeight
    private let experts: Experts

    init(
        _ name: String, _ configuration: ModelConfiguration.ExpertConfiguration, _ weights: Weights
    ) throws(CheckpointError) {
        let (count, width) = (configuration.count, weights.configuration.hiddenSize)
        let inner = configuration.intermediateSize
        // In float32: a rounded input can change who is chosen.
        router = try weights.exactLinear(name + ".gate", rows: count, columns: width)
        let path = name + ".experts"
        experts = Experts(
            gate: try weights.experts(path, "gate_proj", count: count, rows: inner, columns: width),
            up: try weights.experts(path, "up_proj", count: count, rows: inner, columns: width),
            down: try weights.experts(path, "down_proj", count: count, rows: width, columns: inner),
            perToken: configuration.perToken, normalizesWeights: configuration.normalizesWeights)
    }

    func callAsFunction(_ x: Tensor) -> Tensor { x.experts(experts, router: x.linear(router)) }
}
