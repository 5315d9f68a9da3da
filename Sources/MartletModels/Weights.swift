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

    /// The float parameter `[count]` of that name.
    package func vector(_ name: String, count: Int) throws(CheckpointError) -> Vector {
        Vector(name, try tensor(name, shape: [count]).dequantized())
    }

    /// Takes a tensor.
    ///
    /// - Throws: `CheckpointError` if it is missing or has another shape.
    package func tensor(_ name: String, shape: [Int]) throws(CheckpointError) -> StoredTensor {
        let tensor = try checkpoint.tensor(name)
        guard tensor.shape == shape else {
            throw CheckpointError(
                file: tensor.file.path, tensor: name, reason: "has shape \(tensor.shape), expected \(shape)")
        }
        remaining.remove(name)
        return tensor
    }

    /// - Throws: `CheckpointError` if the model took fewer tensors than the file has: then it is not the model that the
    ///   file was made for.
    package func finish() throws(CheckpointError) {
        guard let first = remaining.min() else { return }
        throw CheckpointError(
            file: checkpoint.path, tensor: first,
            reason: "is not part of a \(configuration.architecture) model"
                + (remaining.count > 1 ? " (nor are \(remaining.count - 1) other tensors)" : ""))
    }
}
