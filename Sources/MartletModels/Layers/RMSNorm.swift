import MartletCheckpoints
package import MartletGraph

/// Root mean square layer normalization (Zhang & Sennrich 2019): y = x / √(mean(x²) + ε) · weight.
package struct RMSNorm {
    private let parameters: RMSNormParameters

    /// - Parameter epsilon: nil for the language model's.
    init(_ name: String, width: Int, epsilon: Double? = nil, _ weights: Weights) throws(CheckpointError) {
        parameters = RMSNormParameters(
            weight: try weights.vector(name + ".weight", count: width),
            epsilon: Float(epsilon ?? weights.configuration.rmsNormEpsilon))
    }

    package func callAsFunction(_ x: Tensor) -> Tensor { x.rmsNorm(parameters) }
}
