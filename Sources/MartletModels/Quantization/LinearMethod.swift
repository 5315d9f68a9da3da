package import MartletCheckpoints
package import MartletGraph

/// How a checkpoint stores the weights of its linear layers. Layers ask it, so that model files never mention a format.
///
/// A new quantization scheme is a new conformance, chosen in `Weights` from the configuration and the tensors present.
package protocol LinearMethod: Sendable {
    /// The weight `[rows, columns]` of the layer `name` ("model.layers.0.mlp.down_proj").
    ///
    /// - Throws: `CheckpointError` that names the tensor, what was expected and what was found.
    func weight(_ name: String, rows: Int, columns: Int, from weights: Weights) throws(CheckpointError) -> LinearWeight
}

/// One tensor `name.weight`, in whatever type the file has: plain floats, and GGUF's block formats.
struct StoredLinearMethod: LinearMethod {
    func weight(
        _ name: String, rows: Int, columns: Int, from weights: Weights
    ) throws(CheckpointError) -> LinearWeight {
        let tensor = try weights.tensor(name + ".weight", shape: [rows, columns])
        return LinearWeight(name, try StoredWeight(tensor))
    }
}
