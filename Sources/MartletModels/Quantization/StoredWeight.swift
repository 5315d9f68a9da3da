import MartletCheckpoints
import MartletGraph

/// A tensor of a checkpoint as a backend reads it: plain floats, or the block formats of GGUF.
struct StoredWeight: WeightSource {
    private let tensor: StoredTensor
    /// The matrix's rows among the tensor's.
    private let range: Range<Int>

    let encoding: WeightEncoding
    var rows: Int { range.count }
    var columns: Int { tensor.columns }
    var byteCount: Int { range.count * tensor.descriptor.rowBytes }

    /// - Parameters:
    ///   - range: the rows of one matrix in a tensor that holds several; nil for all.
    ///   - isExact: gives the weights as float32, so that nothing that meets them is rounded.
    /// - Throws: `CheckpointError` if the tensor's type cannot be a weight.
    init(_ tensor: StoredTensor, rows range: Range<Int>? = nil, isExact: Bool = false) throws(CheckpointError) {
        self.tensor = tensor
        self.range = range ?? 0..<tensor.rows
        switch tensor.type {
        case .f32, .f64: encoding = .f32
        case .f16: encoding = isExact ? .f32 : .f16
        case .bf16: encoding = isExact ? .f32 : .bf16
        default:
            guard let format = tensor.type.affine else {
                throw CheckpointError(
                    file: tensor.file.path, tensor: tensor.descriptor.name,
                    reason: "has type \(tensor.type.name), expected F32, F16, BF16 or F64")
            }
            encoding =
                isExact
                ? .f32
                : .affine(
                    AffineEncoding(
                        bits: format.bits, groupSize: format.groupSize,
                        zeroPoint: format.isSymmetric ? format.zeroPoint : nil, superGroupSize: format.superGroupSize))
        }
    }

    func readRow(_ row: Int, into values: UnsafeMutablePointer<Float>) {
        tensor.dequantizeRow(range.lowerBound + row, into: values)
    }

    func readAffineRow(_ row: Int, into buffers: AffineRow) {
        tensor.affineRow(
            range.lowerBound + row,
            into: AffineRowBuffers(
                codes: buffers.codes, scales: buffers.scales, offsets: buffers.offsets,
                scaleFactors: buffers.scaleFactors, offsetFactors: buffers.offsetFactors))
    }

    func release(rows: Range<Int>) {
        let own = rows.clamped(to: 0..<range.count)
        tensor.releasePages(rows: range.lowerBound + own.lowerBound..<range.lowerBound + own.upperBound)
    }
}
