package import MartletCheckpoints
package import MartletGraph

/// A checkpoint's tensors while a model is built from them: each is taken once, checked against the shape that the
/// architecture expects, and none may be left over.
package final class Weights {
    package let configuration: ModelConfiguration
    private let checkpoint: Checkpoint
    private let linearMethod: any LinearMethod
    private var remaining: Set<String>
    private var linears: [String: LinearWeight] = [:]

    package init(_ checkpoint: Checkpoint) {
        self.checkpoint = checkpoint
        configuration = checkpoint.configuration
        linearMethod = StoredLinearMethod()
        remaining = Set(checkpoint.tensorNames)
    }

    /// The matrix `[rows, columns]` of a linear layer or an embedding table. Asking again for one that was taken before
    /// (tied embeddings) gives the same object, so that it is packed once.
    package func linear(_ name: String, rows: Int, columns: Int) throws(CheckpointError) -> LinearWeight {
        if let weight = linears[name] { return weight }
        let weight = try linearMethod.weight(name, rows: rows, columns: columns, from: self)
        linears[name] = weight
        return weight
    }

    /// The matrix `[rows, columns]` as float32, whatever its type in the file: for the few and small ones where rounding
    /// what meets them would change a choice.
    package func exactLinear(_ name: String, rows: Int, columns: Int) throws(CheckpointError) -> LinearWeight {
        LinearWeight(name, try StoredWeight(tensor(name + ".weight", shape: [rows, columns]), isExact: true))
    }

    /// The matrices `[rows, columns]` of a layer's experts: `path.N.projection`, or stacked as `path.projection`.
    package func experts(
        _ path: String, _ projection: String, count: Int, rows: Int, columns: Int
    ) throws(CheckpointError) -> [LinearWeight] {
        if contains("\(path).\(projection).weight") {
            return try linearMethod.experts(
                "\(path).\(projection)", count: count, rows: rows, columns: columns, from: self)
        }
        return try (0..<count).map { (expert) throws(CheckpointError) in
            try linear("\(path).\(expert).\(projection)", rows: rows, columns: columns)
        }
    }

    /// The float parameter `[count]` of that name.
    package func vector(_ name: String, count: Int) throws(CheckpointError) -> Vector {
        let tensor = try tensor(name, shape: [count])
        guard tensor.type.isFloatingPoint || tensor.type.isQuantized else {
            throw CheckpointError(
                file: tensor.file.path, tensor: tensor.descriptor.name,
                reason: "has type \(tensor.type.name), expected F32, F16, BF16 or F64")
        }
        return Vector(name, tensor.dequantized())
    }

    /// Leaves out the tensors whose names start with `prefix`: the file has them, and the model does not need them.
    package func ignore(_ prefix: String) {
        remaining = remaining.filter { !$0.hasPrefix(prefix) }
    }

    /// `config.json`, for what only one architecture knows.
    ///
    /// - Throws: `CheckpointError` where the model comes from another kind of file.
    package func settings() throws(CheckpointError) -> SettingsFile {
        guard case .folder(let folder) = checkpoint.source else {
            throw CheckpointError(
                file: path, reason: "is a \(configuration.architecture) model, which Martlet reads from folders only")
        }
        return folder.settings
    }

    package func contains(_ name: String) -> Bool { checkpoint.contains(name) }

    /// The file that errors name.
    package var path: String { checkpoint.path }

    /// Takes a tensor.
    ///
    /// - Throws: `CheckpointError` if it is missing or has another shape.
    package func tensor(_ name: String, shape: [Int]) throws(CheckpointError) -> StoredTensor {
        guard checkpoint.contains(name) else {
            throw CheckpointError(
                file: checkpoint.path, tensor: name, reason: "is missing, expected one of shape \(shape)")
        }
        let tensor = try checkpoint.tensor(name)
        guard tensor.shape == shape else {
            throw CheckpointError(
                file: tensor.file.path, tensor: tensor.descriptor.name,
                reason: "has shape \(tensor.shape), expected \(shape)")
        }
        remaining.remove(name)
        return tensor
    }

    /// - Throws: `CheckpointError` if the model took fewer tensors than the file has: then it is not the model that the
    ///   file was made for.
    package func finish() throws(CheckpointError) {
        let remaining = remaining.filter { !isRedundant($0) }
        guard let first = remaining.min() else { return }
        throw CheckpointError(
            file: checkpoint.path, tensor: first,
            reason: "is not part of a \(configuration.architecture) model"
                + (remaining.count > 1 ? " (nor are \(remaining.count - 1) other tensors)" : ""))
    }

    /// Whether no model reads the tensor, though published files have it: frequencies that old releases of transformers
    /// saved, and an output projection beside the embedding that is used in its place.
    private func isRedundant(_ name: String) -> Bool {
        name.hasSuffix(".rotary_emb.inv_freq") || (configuration.tieWordEmbeddings && name == "lm_head.weight")
    }
}
