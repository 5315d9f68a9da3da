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

    /// The weights `[rows, columns]` of all experts, stacked under one name ("model.layers.0.mlp.experts.down_proj").
    func experts(
        _ name: String, count: Int, rows: Int, columns: Int, from weights: Weights
    ) throws(CheckpointError) -> [LinearWeight]
}

/// One tensor `name.weight`, in whatever type the file has: plain floats, and GGUF's block formats.
struct StoredLinearMethod: LinearMethod {
    func weight(
        _ name: String, rows: Int, columns: Int, from weights: Weights
    ) throws(CheckpointError) -> LinearWeight {
        if let method = weights.configuration.quantizationMethod, !weights.contains(name + ".weight") {
            throw CheckpointError(
                file: weights.path, tensor: name + ".weight",
                reason: "is missing: the weights are quantized by '\(method)', which is not supported")
        }
        let tensor = try weights.tensor(name + ".weight", shape: [rows, columns])
        if tensor.type == .f8_e4m3 || tensor.type == .i8 {
            let scale = ["weight_scale", "weight_scale_inv"].first { weights.contains("\(name).\($0)") }
            let reason = scale.map { "and '\($0)' besides, which is not supported" } ?? "but no scales beside it"
            throw CheckpointError(
                file: tensor.file.path, tensor: tensor.descriptor.name,
                reason: "has type \(tensor.type.name) \(reason); expected F32, F16 or BF16")
        }
        return LinearWeight(name, try StoredWeight(tensor))
    }

    func experts(
        _ name: String, count: Int, rows: Int, columns: Int, from weights: Weights
    ) throws(CheckpointError) -> [LinearWeight] {
        let tensor = try weights.tensor(name + ".weight", shape: [count, rows, columns])
        return try (0..<count).map { (expert) throws(CheckpointError) in
            LinearWeight(
                "\(name).\(expert)", try StoredWeight(tensor, rows: expert * rows..<(expert + 1) * rows))
        }
    }
}
