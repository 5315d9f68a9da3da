import CKernels
import MartletGraph

/// Rows of an operand in the arena: plain numbers, so that the hot loop copies no reference.
struct Rows {
    var base: UnsafeMutableRawPointer
    /// Floats from a row to the next (float rows only).
    var stride: Int
    var width: Int
    var format: ActivationFormat
    var isSampled: Bool

    var floats: UnsafeMutablePointer<Float> { base.assumingMemoryBound(to: Float.self) }

    @inline(__always)
    func row(_ index: Int) -> UnsafeMutablePointer<Float> { floats + index &* stride }
}

/// A packed matrix as the hot loop sees it.
struct MatrixView {
    var segments: UnsafeMutableBufferPointer<PackedMatrix.Segment>
    var bias: UnsafeMutablePointer<Float>?
    var panelCount: Int
    /// Panels that are worth a jump of the hardware prefetchers (`Walk.panelGrain`).
    var runPanels: Int
}

/// One kernel call of a program: the plan's op with every reference resolved to an address.
enum Instruction {
    case angles(RotaryTable)
    case embed(Unmanaged<PackedMatrix>, out: Rows)
    case features(column: Int, out: Rows)
    case replaceByFeatures(x: Rows, out: Rows)
    case layerNorm(
        weight: UnsafeMutablePointer<Float>, bias: UnsafeMutablePointer<Float>, epsilon: Float, x: Rows, out: Rows)
    /// - order: the input column that each column of `out` is made of; nil for the same.
    case rmsNorm(
        weight: UnsafeMutablePointer<Float>, group: Int, epsilon: Float, order: UnsafeMutablePointer<Int32>?, x: Rows,
        out: Rows)
    case skipRMSNorm(
        weight: UnsafeMutablePointer<Float>, epsilon: Float, order: UnsafeMutablePointer<Int32>?, residual: Rows,
        x: Rows, sum: Rows, out: Rows)
    case linear(MatrixView, x: Rows, residual: Rows?, out: Rows)
    case linearSwiGLU(MatrixView, x: Rows, out: Rows)
    case addBias(UnsafeMutablePointer<Float>, x: Rows, out: Rows)
    case add(Rows, Rows, out: Rows)
    case multiply(Rows, Rows, out: Rows)
    case silu(Rows, out: Rows)
    case gelu(ck_gelu, x: Rows, out: Rows)
    /// One of the parts that are put side by side, and the column where it goes.
    case copyColumns(x: Rows, column: Int, out: Rows)
    case groupRows(count: Int, x: Rows, out: Rows)
    case reorder(UnsafeMutablePointer<Int32>, x: Rows, out: Rows)
    case roundToFloat8(x: Rows, out: Rows)
    case swiGLU(gate: Rows, up: Rows, out: Rows)
    case rope(RotaryTable, headDim: Int, x: Rows, out: Rows)
    case storeKV(KVPool.Layer, k: Rows, v: Rows)
    case ropeStoreKV(RotaryTable, KVPool.Layer, q: Rows, k: Rows, v: Rows, out: Rows)
    case attention(AttentionCall)
    case storeRows(KVRowCache.Layer, k: Rows, v: Rows)
    case rowAttention(RowAttentionCall)
    case experts(ExpertsCall)
    case rows(x: Rows, out: Rows)
    case convert(x: Rows, out: Rows)
}

/// cos and sin of this step's positions for one rotary embedding, computed once per step for all layers.
struct RotaryTable {
    /// `[pairs]`.
    var inverseFrequencies: UnsafeMutablePointer<Float>
    var attentionFactor: Float
    var pairs: Int
    /// `[pairs]`, or nil where a token has one position.
    var axes: UnsafeMutablePointer<UInt8>?
    /// `[tokens][2][pairs]`: cos, then sin.
    var angles: UnsafeMutablePointer<Float>

    @inline(__always)
    func cosine(_ token: Int) -> UnsafeMutablePointer<Float> { angles + token &* 2 &* pairs }
    @inline(__always)
    func sine(_ token: Int) -> UnsafeMutablePointer<Float> { angles + (token &* 2 &+ 1) &* pairs }
}
