import MartletCheckpoints
package import MartletGraph

/// Layer normalization (Ba, Kiros & Hinton 2016): y = (x - mean) / √(variance + ε) · weight + bias.
package struct LayerNorm {
    private let parameters: LayerNormParameters

    init(_ name: String, width: Int, epsilon: Double, _ weights: Weights) throws(CheckpointError) {
        parameters = LayerNormParameters(
            weight: try weights.vector(name + ".weight", count: width),
            bias: try weights.vector(name + ".bias", count: width), epsilon: Float(epsilon))
    }

    package func callAsFunction(_ x: Tensor) -> Tensor { x.layerNorm(parameters) }
}
