import MartletCheckpoints
package import MartletGraph

/// Root mean square layer normalization (Zhang & Sennrich 2019): y = x / √(mean(x²) + ε) · weight.
package struct RMSNorm {
    private let parameters: RMSNormParameters

    init(_ name: String, width: Int, _ weights: Weights) throws(CheckpointError) {
        parameters = RMSNormParameters(
            weight: try weights.vector(name + ".weight", count: width),
            epsilon: Float(weights.configuration.rmsNormEpsilon))
    }

    package func callAsFunction(_ x: Tensor) -> Tensor { x.rmsNorm(parameters) }
}
