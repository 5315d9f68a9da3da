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
        let down = try weights.experts(path, "down_proj", count: count, rows: width, columns: inner)
        // An expert's gate and up give their columns in the order that its down reads, and take their input in one order.
        func inputs(_ projection: String, keepsColumnOrder: Bool = false) throws(CheckpointError) -> [LinearWeight] {
            let all = try weights.experts(
                path, projection, count: count, rows: inner, columns: width, keepsColumnOrder: keepsColumnOrder)
            return zip(all, down).map { weight, down in down.inputOrder.map(weight.reorderingOutput) ?? weight }
        }
        var (gate, up) = (try inputs("gate_proj"), try inputs("up_proj"))
        if !zip(gate, up).allSatisfy({ $0.inputOrder === $1.inputOrder }) {
            gate = try inputs("gate_proj", keepsColumnOrder: true)
            up = try inputs("up_proj", keepsColumnOrder: true)
        }
        experts = Experts(
            gate: gate, up: up, down: down.map { $0.takingOrderedInput() },
            perToken: configuration.perToken, normalizesWeights: configuration.normalizesWeights)
    }

    func callAsFunction(_ x: Tensor) -> Tensor { x.experts(experts, router: x.linear(router)) }
}
