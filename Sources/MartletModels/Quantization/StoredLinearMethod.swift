import MartletCheckpoints
import MartletGraph

/// One tensor `name.weight`, in whatever type the file has: plain floats, and GGUF's block formats.
struct StoredLinearMethod: LinearMethod {
    let marks = ["weight"]

    func weight(
        _ name: String, rows: Int, columns: Int, keepsColumnOrder: Bool, from weights: Weights
    ) throws(CheckpointError) -> LinearWeight {
        if !weights.contains(name + ".weight"), weights.configuration.quantization == nil,
            let codes = ["qweight", "weight_packed"].first(where: { weights.contains("\(name).\($0)") })
        {
            throw CheckpointError(
                file: weights.path, tensor: "\(name).\(codes)",
                reason: "is quantized, but config.json has no quantization_config that says how")
        }
        let tensor = try weights.tensor(name + ".weight", shape: [rows, columns])
        if tensor.type == .f8_e4m3 || tensor.type == .i8 {
            let scale = ["weight_scale", "weight_scale_inv"].first { weights.contains("\(name).\($0)") }
            let reason = scale.map { "and '\($0)' besides, but there is no quantization_config that says so" }
            throw tensor.failure(
                "has type \(tensor.type.name) \(reason ?? "but no scales beside it"); expected F32, F16 or BF16")
        }
        return LinearWeight(name, try StoredWeight(tensor))
    }

    /// The weights `[rows, columns]` of all experts, stacked under one name ("model.layers.0.mlp.experts.down_proj").
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
