/// A quantized type seen as what all of them are: small unsigned codes, and per group of columns a scale and an offset,
/// with weight = scale · code + offset. Kernels are written for this view, and files are repacked into it.
package struct AffineFormat: Sendable, Equatable {
    /// Bits that a code needs: 4, 5, 6 or 8.
    package let bits: Int
    /// Columns that share a scale and an offset.
    package let groupSize: Int
    /// Every offset is -zeroPoint · scale, so that a kernel needs no offsets.
    package let isSymmetric: Bool
    /// The code of the weight 0 where `isSymmetric`; else 0.
    package let zeroPoint: Int
}

extension TensorType {
    /// Nil for plain numbers.
    package var affine: AffineFormat? {
        switch self {
        case .f32, .f16, .bf16: nil
        case .q4_0: Q4_0.affine
        case .q4_1: Q4_1.affine
        case .q5_0: Q5_0.affine
        case .q5_1: Q5_1.affine
        case .q8_0: Q8_0.affine
        case .q4_K: Q4_K.affine
        case .q5_K: Q5_K.affine
        case .q6_K: Q6_K.affine
        }
    }
}

/// The affine view of one row: `columns` codes, and `columns / groupSize` scales and offsets.
///
/// `type` is quantized, `columns` a multiple of its block size, and `source` holds `type.rowBytes(columns:)` bytes, at any
/// alignment.
package func affineRow(
    _ type: TensorType, _ source: UnsafeRawPointer, columns: Int,
    codes: UnsafeMutablePointer<UInt8>, scales: UnsafeMutablePointer<Float>, offsets: UnsafeMutablePointer<Float>
) {
    switch type {
    case .f32, .f16, .bf16: preconditionFailure("\(type.name) has no affine view")
    case .q4_0: decodeRow(Q4_0.self, source, columns, codes, scales, offsets)
    case .q4_1: decodeRow(Q4_1.self, source, columns, codes, scales, offsets)
    case .q5_0: decodeRow(Q5_0.self, source, columns, codes, scales, offsets)
    case .q5_1: decodeRow(Q5_1.self, source, columns, codes, scales, offsets)
    case .q8_0: decodeRow(Q8_0.self, source, columns, codes, scales, offsets)
    case .q4_K: decodeRow(Q4_K.self, source, columns, codes, scales, offsets)
    case .q5_K: decodeRow(Q5_K.self, source, columns, codes, scales, offsets)
    case .q6_K: decodeRow(Q6_K.self, source, columns, codes, scales, offsets)
    }
}

@inline(__always)
private func decodeRow<Block: QuantizedBlock>(
    _: Block.Type, _ source: UnsafeRawPointer, _ columns: Int,
    _ codes: UnsafeMutablePointer<UInt8>, _ scales: UnsafeMutablePointer<Float>, _ offsets: UnsafeMutablePointer<Float>
) {
    precondition(columns % Block.size == 0)
    var (source, codes, scales, offsets) = (source, codes, scales, offsets)
    for _ in 0..<columns / Block.size {
        Block.decode(source, codes, scales, offsets)
        source += Block.bytes
        codes += Block.size
        scales += Block.size / Block.affine.groupSize
        offsets += Block.size / Block.affine.groupSize
    }
}
