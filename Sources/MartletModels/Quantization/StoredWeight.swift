import MartletCheckpoints
import MartletGraph

/// A tensor of a checkpoint as a backend reads it: plain floats, or the block formats of GGUF.
struct StoredWeight: WeightSource {
    private let tensor: StoredTensor

    let encoding: WeightEncoding
    var rows: Int { tensor.rows }
    var columns: Int { tensor.columns }
    var byteCount: Int { tensor.descriptor.byteRange.count }

    /// - Throws: `CheckpointError` if the tensor's type cannot be a weight.
    init(_ tensor: StoredTensor) throws(CheckpointError) {
        self.tensor = tensor
        switch tensor.type {
        case .f32: encoding = .f32
        case .f16: encoding = .f16
        case .bf16: encoding = .bf16
        default:
            guard let format = tensor.type.affine else {
                throw CheckpointError(
                    file: tensor.file.path, tensor: tensor.name,
                    reason: "has type \(tensor.type.name), which is not supported for weights")
            }
            encoding = .affine(
                AffineEncoding(
                    bits: format.bits, groupSize: format.groupSize,
                    zeroPoint: format.isSymmetric ? format.zeroPoint : nil, superGroupSize: format.superGroupSize))
        }
    }

    func readRow(_ row: Int, into values: UnsafeMutablePointer<Float>) { tensor.dequantizeRow(row, into: values) }

    func readAffineRow(_ row: Int, into buffers: AffineRow) {
        tensor.affineRow(
            row,
            into: AffineRowBuffers(
                codes: buffers.codes, scales: buffers.scales, offsets: buffers.offsets,
                scaleFactors: buffers.scaleFactors, offsetFactors: buffers.offsetFactors))
    }

    func release(rows: Range<Int>) { tensor.releasePages(rows: rows) }
}
