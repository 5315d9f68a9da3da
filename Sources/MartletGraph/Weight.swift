/// How the values of a stored weight matrix are encoded.
package enum WeightEncoding: Sendable, Hashable {
    case f32, f16, bf16
    /// Codes of 8-bit floats (4 bits of exponent, 3 of fraction) with a float32 scale per row and 128 columns, which
    /// `readAffineRow` gives.
    case f8
    /// Integer codes with a scale and an offset per group of columns: value = scale · code + offset.
    case affine(AffineEncoding)
}

/// The shape of an affine quantization. Every integer format that Martlet reads is one of these (DESIGN §1.5).
///
/// The last group of a row may have fewer columns.
package struct AffineEncoding: Sendable, Hashable {
    /// Bits that the largest code needs: 4, 5, 6 or 8.
    package var bits: Int
    /// Consecutive columns that share a scale: 16, 32 or a multiple of 32.
    package var groupSize: Int
    /// The code that means 0 if every offset is -zeroPoint · scale; nil if offsets are free.
    package var zeroPoint: Int?
    /// Columns that share a floating-point scale and offset, of which each group's are integer multiples; nil where every
    /// group has its own.
    package var superGroupSize: Int?
    /// Offsets are minus the groups' zero points, integers that are added to the codes: value = scale · (code + offset).
    package var hasZeroPoints = false
    /// Scales may be any float32; otherwise they are exact in f16.
    package var hasWideScales = false

    package init(bits: Int, groupSize: Int, zeroPoint: Int?, superGroupSize: Int? = nil) {
        self.bits = bits
        self.groupSize = groupSize
        self.zeroPoint = zeroPoint
        self.superGroupSize = superGroupSize
    }
}

/// Where the codes and factors of one row of affine codes go.
///
/// value = scale · code + offset; with super groups, scale · scaleFactor · code + offset · offsetFactor, or, if there is a
/// zero point, scale · scaleFactor · (code - zeroPoint) with signed factors.
package struct AffineRow {
    /// `[columns]`.
    package var codes: UnsafeMutablePointer<UInt8>
    /// `[columns / groupSize]`, rounded up, or `[columns / superGroupSize]`.
    package var scales: UnsafeMutablePointer<Float>
    package var offsets: UnsafeMutablePointer<Float>
    /// `[columns / groupSize]`; written only where there are super groups.
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
}

/// A weight matrix `[rows, columns]` as its file stores it, read row by row while a backend repacks it.
///
/// Conformances are readers of a file format; backends need only this. Reading is thread-safe.
package protocol WeightSource: Sendable {
    var rows: Int { get }
    var columns: Int { get }
    var encoding: WeightEncoding { get }
    /// Bytes that the matrix takes in its file.
    var byteCount: Int { get }

    /// Writes one row as float32, `columns` values: the exact dequantized weights.
    func readRow(_ row: Int, into values: UnsafeMutablePointer<Float>)
    /// Writes one row's codes and factors. Only for affine encodings and `f8`.
    func readAffineRow(_ row: Int, into buffers: AffineRow)
    /// Tells the reader that rows have been repacked, so that their file pages may leave memory. Rows beyond the last one
    /// are ignored.
    func release(rows: Range<Int>)
}

/// The weight of a linear layer, `[rows, columns]`; a backend packs each instance once, so sharing one (tied
/// embeddings) shares the memory.
package final class LinearWeight: Sendable {
    package let name: String
    /// One source, or several that a fusion joined: all have the same columns.
    package let parts: [any WeightSource]
    /// True if rows of the (two) parts alternate in blocks of 16: gate and up lie side by side for the SwiGLU epilogue.
    package let isInterleaved: Bool
    /// `[rows]`, or nil.
    package let bias: [Float]?
    /// How the columns of the input have to be ordered; nil as they are.
    package let inputOrder: ColumnOrder?
    /// The layer was made for inputs that are rounded to 8-bit floats, row by row.
    package let roundsInputToFloat8: Bool
    /// The weights that a fusion made this one of; empty if it is the model's own.
    private let origins: [LinearWeight]

    package init(
        _ name: String, _ source: any WeightSource, bias: [Float]? = nil, inputOrder: ColumnOrder? = nil,
        roundsInputToFloat8: Bool = false
    ) {
        precondition(bias == nil || bias?.count == source.rows)
        precondition(inputOrder == nil || inputOrder?.indices.count == source.columns)
        self.inputOrder = inputOrder
        self.roundsInputToFloat8 = roundsInputToFloat8
        self.name = name
        self.parts = [source]
        self.isInterleaved = false
        self.bias = bias
        self.origins = []
    }

    /// Weights of one width, joined, with `bias` in the place of theirs.
    init(_ name: String, joining origins: [LinearWeight], isInterleaved: Bool = false, bias: [Float]?) {
        // Whoever reads these weights has been given an input that is ordered and rounded.
        inputOrder = nil
        roundsInputToFloat8 = false
        self.name = name
        self.parts = origins.flatMap(\.parts)
        self.isInterleaved = isInterleaved
        self.bias = bias
        self.origins = origins
    }

    /// What tells one matrix from another. Two plans of a model join the same weights in objects of their own; these are
    /// equal, so both plans can share one packed matrix.
    package struct Identity: Hashable {
        fileprivate let models: [ObjectIdentifier]
        fileprivate let isInterleaved: Bool
        fileprivate let bias: [Float]?
    }

    /// Valid while the weight (and with it its origins) lives.
    package var identity: Identity { Identity(models: modelWeights, isInterleaved: isInterleaved, bias: bias) }

    private var modelWeights: [ObjectIdentifier] {
        origins.isEmpty ? [ObjectIdentifier(self)] : origins.flatMap(\.modelWeights)
    }

    package var rows: Int { parts.reduce(0) { $0 + $1.rows } }
    package var columns: Int { parts[0].columns }
    package var byteCount: Int { parts.reduce(0) { $0 + $1.byteCount } }
}

/// A small parameter that is kept as float32: the weight of a norm, a bias.
package final class Vector: Sendable {
    package let name: String
    package let values: [Float]

    package init(_ name: String, _ values: [Float]) {
        self.name = name
        self.values = values
    }
}
