import MartletCheckpoints
import MartletGraph

/// A convolution whose stride is its size: every patch is multiplied by the same matrix, so it is a linear layer over the
/// patches' pixels.
struct PatchEmbedding {
    private let projection: LinearWeight
    private let bias: Vector?

    /// - Parameter kernel: sizes of the weight behind the outputs, as the file has them: channels, frames where there are
    ///   any, rows, columns.
    init(
        _ name: String, kernel: [Int], outputs: Int, bias: Bool = false, _ weights: Weights
    ) throws(CheckpointError) {
        let tensor = try weights.tensor(name + ".weight", shape: [outputs] + kernel)
        projection = LinearWeight(name, try FoldedWeight(tensor))
        self.bias = bias ? try weights.vector(name + ".bias", count: outputs) : nil
    }

    /// Values of a patch.
    var columns: Int { projection.columns }

    func callAsFunction(_ patches: Tracer) -> Tensor {
        let product = patches.features(width: projection.columns).linear(projection)
        return bias.map(product.addBias) ?? product
    }
}

/// A tensor `[rows, …]` with everything behind its first dimension as columns.
private struct FoldedWeight: WeightSource {
    private let tensor: StoredTensor
    /// Rows of the tensor's last dimension in one of ours.
    private let pieces: Int
    let encoding: WeightEncoding

    init(_ tensor: StoredTensor) throws(CheckpointError) {
        self.tensor = tensor
        pieces = tensor.rows / tensor.shape[0]
        encoding = try StoredWeight(tensor).encoding
        if case .affine = encoding {
            throw CheckpointError(
                file: tensor.file.path, tensor: tensor.descriptor.name,
                reason: "has type \(tensor.type.name), expected plain numbers")
        }
    }

    var rows: Int { tensor.shape[0] }
    var columns: Int { pieces * tensor.columns }
    var byteCount: Int { tensor.descriptor.byteRange.count }

    func readRow(_ row: Int, into values: UnsafeMutablePointer<Float>) {
        for piece in 0..<pieces {
            tensor.dequantizeRow(row * pieces + piece, into: values + piece * tensor.columns)
        }
    }

    func readAffineRow(_ row: Int, into buffers: AffineRow) { preconditionFailure("plain numbers") }

    func release(rows released: Range<Int>) {
        tensor.releasePages(rows: released.lowerBound * pieces..<released.upperBound * pieces)
    }
}

/// A matrix in memory: what is made of several tensors.
struct ComputedWeight: WeightSource {
    let rows: Int
    let columns: Int
    /// `[rows][columns]`.
    private let values: [Float]

    init(_ values: [Float], columns: Int) {
        self.values = values
        self.columns = columns
        rows = values.count / columns
    }

    var encoding: WeightEncoding { .f32 }
    var byteCount: Int { values.count * MemoryLayout<Float>.size }

    func readRow(_ row: Int, into target: UnsafeMutablePointer<Float>) {
        for column in 0..<columns { target[column] = values[row * columns + column] }
    }

    func readAffineRow(_ row: Int, into buffers: AffineRow) { preconditionFailure("plain numbers") }

    func release(rows: Range<Int>) {}
}
