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
    /// Columns that share a floating-point scale and offset, of which each group's are integer multiples (K-quants); nil
    /// where every group has its own.
    package var superGroupSize: Int?
}

/// Where the affine view of a row goes: `columns` codes, and per group a scale and an offset.
///
/// In a type with super groups, `scales` and `offsets` are those of the super groups, and the integer factors of the groups
/// are written besides: weight = scale · scaleFactor · code + offset · offsetFactor, or, in a symmetric type, whose factors
/// are signed bytes, scale · scaleFactor · (code - zeroPoint).
package struct AffineRowBuffers {
    package var codes: UnsafeMutablePointer<UInt8>
    package var scales: UnsafeMutablePointer<Float>
    /// Of a symmetric type without super groups: -zeroPoint · scale.
    package var offsets: UnsafeMutablePointer<Float>
    package var scaleFactors: UnsafeMutablePointer<UInt8>
    package var offsetFactors: UnsafeMutablePointer<UInt8>

    package init(
        codes: UnsafeMutablePointer<UInt8>, scales: UnsafeMutablePointer<Float>, offsets: UnsafeMutablePointer<Float>,
        scaleFactors: UnsafeMutablePointer<UInt8>, offsetFactors: UnsafeMutablePointer<UInt8>
    ) {
        self.codes = codes
        self.scales = scales
        self.offsets = offsets
        self.scaleFactors = scaleFactors
        self.offsetFactors = offsetFactors
    }

    @inline(__always)
    mutating func advance<Block: QuantizedBlock>(past _: Block.Type) {
        codes += Block.size
        scales += Block.scales
        offsets += Block.scales
        scaleFactors += Block.groups
        offsetFactors += Block.groups
    }
}

extension TensorType {
    /// Nil for plain numbers.
    package var affine: AffineFormat? {
        switch self {
        case .f32, .f16, .bf16, .f64, .f8_e4m3, .i8, .u8, .i16, .i32, .i64, .bool: nil
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

/// The affine view of one row.
///
/// `type` is quantized, `columns` a multiple of its block size, and `source` holds `type.rowBytes(columns:)` bytes, at any
/// alignment.
package func affineRow(
    _ type: TensorType, _ source: UnsafeRawPointer, columns: Int, into row: AffineRowBuffers
) {
    switch type {
    case .f32, .f16, .bf16, .f64, .f8_e4m3, .i8, .u8, .i16, .i32, .i64, .bool:
        preconditionFailure("\(type.name) has no affine view")
    case .q4_0: decodeRow(Q4_0.self, source, columns, row)
    case .q4_1: decodeRow(Q4_1.self, source, columns, row)
    case .q5_0: decodeRow(Q5_0.self, source, columns, row)
    case .q5_1: decodeRow(Q5_1.self, source, columns, row)
    case .q8_0: decodeRow(Q8_0.self, source, columns, row)
    case .q4_K: decodeRow(Q4_K.self, source, columns, row)
    case .q5_K: decodeRow(Q5_K.self, source, columns, row)
    case .q6_K: decodeRow(Q6_K.self, source, columns, row)
    }
}

@inline(__always)
private func decodeRow<Block: QuantizedBlock>(
    _: Block.Type, _ source: UnsafeRawPointer, _ columns: Int, _ row: AffineRowBuffers
) {
    precondition(columns % Block.size == 0)
    var (source, row) = (source, row)
    for _ in 0..<columns / Block.size {
        Block.decode(source, row)
        source += Block.bytes
        row.advance(past: Block.self)
    }
}
