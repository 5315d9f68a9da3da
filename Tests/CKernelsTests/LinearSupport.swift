import CKernels
import Testing

/// The instruction sets that this machine can run, by name.
let linearInstructionSets: [String] = ["avx512", "avx2", "neon", "portable"].filter { ck_select($0) != nil }

/// A weight layout under test and the facts about it that the tests need.
struct Layout: CustomTestStringConvertible, Sendable {
    let id: ck_layout
    var testDescription: String
    /// Columns that share a scale; 0 for the floating-point layouts.
    var groupSize = 0
    var maxCode: UInt8 = 0
    var hasOffsets = false
    /// Offsets are integers that are added to the codes.
    var hasZeroPoints = false
    /// Scales are not rounded to f16.
    var hasWideScales = false
    /// The code that stands for zero in the symmetric layouts.
    var zeroCode = 0
    /// Groups' scales are integer factors (of this largest magnitude) of one that 256 columns share; 0 if not.
    var largestFactor = 0
    /// Whether the kernel reads 15-bit activations.
    var isPrecise = false
    /// The kernel that reads bf16 activations instead of float32.
    var takesBF16 = false

    static let q4s = Layout(id: CK_Q4S, testDescription: "q4s", groupSize: 32, maxCode: 15, zeroCode: 8)
    static let q4a = Layout(id: CK_Q4A, testDescription: "q4a", groupSize: 32, maxCode: 15, hasOffsets: true)
    static let q4z = Layout(
        id: CK_Q4Z, testDescription: "q4z", groupSize: 32, maxCode: 15, hasOffsets: true, hasZeroPoints: true)
    static let q4w = Layout(
        id: CK_Q4W, testDescription: "q4w", groupSize: 32, maxCode: 15, hasOffsets: true, hasZeroPoints: true,
        hasWideScales: true)
    static let q8s = Layout(id: CK_Q8S, testDescription: "q8s", groupSize: 32, maxCode: 255, zeroCode: 128)
    static let q8a = Layout(id: CK_Q8A, testDescription: "q8a", groupSize: 32, maxCode: 255, hasOffsets: true)
    static let q8z = Layout(
        id: CK_Q8Z, testDescription: "q8z", groupSize: 32, maxCode: 255, hasOffsets: true, hasZeroPoints: true)
    static let q8w = Layout(
        id: CK_Q8W, testDescription: "q8w", groupSize: 32, maxCode: 255, hasOffsets: true, hasZeroPoints: true,
        hasWideScales: true)
    static let q4k = Layout(
        id: CK_Q4K, testDescription: "q4k", groupSize: 32, maxCode: 15, hasOffsets: true, largestFactor: 63)
    static let q5k = Layout(
        id: CK_Q5K, testDescription: "q5k", groupSize: 32, maxCode: 31, hasOffsets: true, largestFactor: 63)
    static let q6k = Layout(
        id: CK_Q6K, testDescription: "q6k", groupSize: 16, maxCode: 63, zeroCode: 32, largestFactor: 127)
    static let bf16 = Layout(id: CK_BF16, testDescription: "bf16")
    static let f16 = Layout(id: CK_F16, testDescription: "f16")
    static let f32 = Layout(id: CK_F32, testDescription: "f32")

    static let f8 = Layout(id: CK_F8, testDescription: "f8")
    static let f8ByBF16 = Layout(id: CK_F8, testDescription: "f8 by bf16", takesBF16: true)

    static let quantized = [q4s, q4a, q4z, q4w, q8s, q8a, q8z, q8w, q4k, q5k, q6k]
    static let precise = quantized.map { layout -> Layout in
        var precise = layout
        precise.testDescription += " by q16"
        precise.isPrecise = true
        return precise
    }
    static let floating = [bf16, f16, f32, f8, f8ByBF16]
    static let all = quantized + precise + floating

    /// What the kernel reads.
    var activation: ck_activation { isPrecise ? CK_ACT_Q16 : takesBF16 ? CK_ACT_BF16 : ck_layout_activation(id) }
    /// Instruction sets of this machine that have the kernel.
    var instructionSets: [String] {
        linearInstructionSets.filter { name in
            ck_select(name).flatMap { linearKernel(of: $0.pointee, self) } != nil
        }
    }

    /// Columns that the activations have in the kernel.
    func paddedColumns(_ columns: Int) -> Int64 {
        takesBF16 ? Int64((columns + 31) / 32 * 32) : ck_padded_columns(id, Int64(columns))
    }
    /// The code of a group's largest activation.
    var largestCode: Float { isPrecise ? 16319 : 127 }

    var isQuantized: Bool { groupSize > 0 }
    var isNested: Bool { largestFactor > 0 }
    /// Columns that share a floating-point scale.
    var scaleSize: Int { isNested ? 256 : id == CK_F8 ? 128 : groupSize }

    /// A value as this floating-point layout stores it.
    func rounded(_ value: Float) -> Float {
        switch id {
        case CK_BF16: bfloat16(value)
        case CK_F16: Float(Float16(value))
        default: value
        }
    }
}

/// Rounds to 8 bits of mantissa, ties to even, by way of the standard library's own rounding.
func bfloat16(_ value: Float) -> Float {
    guard value.isFinite, value != 0 else { return value }
    let unit = Float(
        sign: .plus, exponent: max(value.exponent, Float.leastNormalMagnitude.exponent) - 7, significand: 1)
    return (value / unit).rounded(.toNearestOrEven) * unit
}

/// The value of an e4m3 code (arXiv:2209.05433) that isn't NaN.
func e4m3(_ code: UInt8) -> Float {
    let (exponent, fraction) = (Int(code >> 3 & 15), Float(code & 7))
    let magnitude =
        exponent == 0
        ? fraction * 0x1p-9 : Float(sign: .plus, exponent: exponent - 7, significand: 1 + fraction / 8)
    return code < 128 ? magnitude : -magnitude
}

/// SplitMix64: reproducible test data.
struct LinearRandom {
    var state: UInt64

    mutating func bits() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func code(upTo largest: UInt8) -> UInt8 { UInt8(bits() % (UInt64(largest) + 1)) }

    /// Uniform in -1 ..< 1.
    mutating func unit() -> Float { Float(Int64(bits() >> 40)) / Float(1 << 23) - 1 }
}

/// Bytes at a 64-byte boundary, with a canary behind them that tells a write past the end.
final class AlignedBytes {
    let base: UnsafeMutableRawPointer
    let count: Int
    private static let canary: [UInt8] = (0..<64).map { UInt8($0 ^ 0xa5) }

    init(count: Int) {
        self.count = count
        base = .allocate(byteCount: count + 64, alignment: 64)
        base.initializeMemory(as: UInt8.self, repeating: 0xee, count: count)
        (base + count).copyMemory(from: Self.canary, byteCount: 64)
    }

    deinit { base.deallocate() }

    var isIntact: Bool { (0..<64).allSatisfy { (base + count + $0).load(as: UInt8.self) == Self.canary[$0] } }
    var bytes: [UInt8] { Array(UnsafeRawBufferPointer(start: base, count: count)) }
}

/// A weight matrix, as packed panels and as the plain numbers that they mean.
struct Weights {
    let layout: Layout
    let rows: Int
    let columns: Int
    /// Quantized: [rows][columns] codes and [rows][columns / scaleSize, rounded up] scales and offsets, rounded to f16.
    var codes: [UInt8] = []
    var scales: [Float] = []
    var offsets: [Float] = []
    /// Nested layouts: [rows][columns / groupSize], signed for q6k.
    var scaleFactors: [UInt8] = []
    var offsetFactors: [UInt8] = []
    /// What each element means, [rows][columns].
    var values: [Float] = []

    var groups: Int { columns / layout.groupSize }
    var scaleGroups: Int { (columns + layout.scaleSize - 1) / layout.scaleSize }
    var paddedColumns: Int { Int(layout.paddedColumns(columns)) }
    var panels: Int { (rows + 15) / 16 }

    init(_ layout: Layout, rows: Int, columns: Int, seed: UInt64 = 1) {
        self.layout = layout
        self.rows = rows
        self.columns = columns
        var random = LinearRandom(state: seed)
        if layout.isQuantized {
            codes = (0..<rows * columns).map { _ in random.code(upTo: layout.maxCode) }
            let shrink: Float = layout.isNested ? 1 / Float(layout.largestFactor) : 1
            scales = (0..<rows * scaleGroups).map { _ in
                let scale = random.unit() * 0.1 * shrink
                return layout.hasWideScales ? scale : Float(Float16(scale))
            }
            offsets = (0..<rows * scaleGroups).map { _ in
                layout.hasZeroPoints
                    ? -Float(random.code(upTo: layout.maxCode)) : Float(Float16(random.unit() * shrink))
            }
            if layout.isNested {
                let largest = layout.hasOffsets ? UInt8(layout.largestFactor) : 255
                scaleFactors = (0..<rows * groups).map { _ in random.code(upTo: largest) }
                offsetFactors = (0..<rows * groups).map { _ in random.code(upTo: largest) }
            }
        } else if layout.id == CK_F8 {
            // Every code but those for NaN, and a scale per row and 128 columns.
            codes = (0..<rows * columns).map { _ in random.code(upTo: 253) }.map { $0 < 127 ? $0 : $0 + 1 }
            scales = (0..<rows * scaleGroups).map { _ in random.unit() * 0.01 }
        } else {
            values = (0..<rows * columns).map { _ in layout.rounded(random.unit()) }
        }
        fillValues()
    }

    /// Recomputes `values` after a change of codes, scales or offsets.
    mutating func fillValues() {
        if layout.id == CK_F8 {
            values = codes.indices.map { index in
                e4m3(codes[index]) * scales[index / columns * scaleGroups + index % columns / layout.scaleSize]
            }
        }
        guard layout.isQuantized else { return }
        values = (0..<rows * columns).map { index in
            let (scale, offset) = factors(row: index / columns, column: index % columns)
            if layout.hasZeroPoints { return scale * (Float(codes[index]) + offset) }
            let value = scale * Float(Int(codes[index]) - layout.zeroCode)
            return layout.hasOffsets ? value + offset : value
        }
    }

    /// Scale and offset of an element.
    func factors(row: Int, column: Int) -> (scale: Float, offset: Float) {
        let index = row * scaleGroups + column / layout.scaleSize
        guard layout.isNested else { return (scales[index], offsets[index]) }
        let group = row * groups + column / layout.groupSize
        let factor = layout.hasOffsets ? Float(scaleFactors[group]) : Float(Int8(bitPattern: scaleFactors[group]))
        return (scales[index] * factor, offsets[index] * Float(offsetFactors[group]))
    }

    func packed() -> AlignedBytes {
        let panelBytes = Int(ck_panel_bytes(layout.id, Int64(columns)))
        let packed = AlignedBytes(count: panels * panelBytes)
        for panel in 0..<panels {
            let first = panel * 16
            let count = min(16, rows - first)
            let place = packed.base + panel * panelBytes
            if layout.isQuantized {
                packAffine(
                    layout.id, Array(codes[first * columns..<(first + count) * columns]),
                    scales: Array(scales[first * scaleGroups..<(first + count) * scaleGroups]),
                    offsets: Array(offsets[first * scaleGroups..<(first + count) * scaleGroups]),
                    scaleFactors: Array(scaleFactors.dropFirst(first * groups).prefix(count * groups)),
                    offsetFactors: Array(offsetFactors.dropFirst(first * groups).prefix(count * groups)),
                    rows: count, zeroPoint: layout.zeroCode, to: place)
            } else if layout.id == CK_F8 {
                packAffine(
                    layout.id, Array(codes[first * columns..<(first + count) * columns]),
                    scales: Array(scales[first * scaleGroups..<(first + count) * scaleGroups]), rows: count,
                    zeroPoint: 0, to: place)
            } else {
                ck_pack_float(
                    layout.id, Array(values[first * columns..<(first + count) * columns]), Int64(count), Int64(columns),
                    place)
            }
        }
        return packed
    }
}

/// One panel, from arrays as `ck_affine_rows` describes them.
func packAffine(
    _ layout: ck_layout, _ codes: [UInt8], scales: [Float], offsets: [Float] = [], scaleFactors: [UInt8] = [],
    offsetFactors: [UInt8] = [], rows: Int, zeroPoint: Int, to panel: UnsafeMutableRawPointer
) {
    codes.withUnsafeBufferPointer { codes in
        scales.withUnsafeBufferPointer { scales in
            offsets.withUnsafeBufferPointer { offsets in
                scaleFactors.withUnsafeBufferPointer { scaleFactors in
                    offsetFactors.withUnsafeBufferPointer { offsetFactors in
                        var source = ck_affine_rows(
                            codes: codes.baseAddress, scales: scales.baseAddress, offsets: offsets.baseAddress,
                            scale_factors: scaleFactors.baseAddress, offset_factors: offsetFactors.baseAddress,
                            rows: Int64(rows), columns: Int64(codes.count / rows), zero_point: Int32(zeroPoint))
                        ck_pack_affine(layout, &source, panel)
                    }
                }
            }
        }
    }
}

/// Random activations [tokens][columns].
func randomActivations(tokens: Int, columns: Int, seed: UInt64 = 2) -> [Float] {
    var random = LinearRandom(state: seed)
    return (0..<tokens * columns).map { _ in random.unit() * 3 }
}

/// Activations in the form that a layout's kernel reads.
func packActivations(_ activations: [Float], tokens: Int, columns: Int, for layout: Layout, with kernels: ck_kernels)
    -> AlignedBytes
{
    let padded = layout.paddedColumns(columns)
    let format = layout.activation
    let packed = AlignedBytes(count: Int(ck_activation_bytes(format, padded, Int64(tokens))))
    for token in 0..<tokens {
        let first = token / 8 * 8
        let tile = packed.base + Int(ck_activation_bytes(format, padded, Int64(first)))
        let inTile = Int64(min(8, tokens - first))
        let row = Array(activations[token * columns..<(token + 1) * columns])
        switch format {
        case CK_ACT_Q8: kernels.quantize_q8(row, Int64(columns), padded, tile, inTile, Int64(token - first))
        case CK_ACT_Q16: kernels.quantize_q16(row, Int64(columns), padded, tile, inTile, Int64(token - first))
        case CK_ACT_BF16: kernels.convert_bf16(row, Int64(columns), padded, tile, inTile, Int64(token - first))
        default: (packed.base + token * columns * 4).copyMemory(from: row, byteCount: columns * 4)
        }
    }
    #expect(packed.isIntact)
    return packed
}

/// How a product is called; the defaults are the plain whole product.
struct LinearOptions {
    var bias: [Float]? = nil
    /// [tokens][rows], what the output holds before and the product is added to.
    var accumulateInto: [Float]? = nil
    /// Cuts of the panels into calls, each below the number of panels.
    var panelCuts: [Int] = []
}

/// The product [tokens][rows] by one instruction set's kernel. The output has a stride wider than its rows, whose gap
/// must stay untouched.
func linear(
    _ weights: Weights, packed: AlignedBytes, activations: [Float], tokens: Int, kernels: ck_kernels,
    options: LinearOptions = LinearOptions()
) throws -> [Float] {
    let packedActivations = packActivations(
        activations, tokens: tokens, columns: weights.columns, for: weights.layout, with: kernels)
    let stride = weights.rows + 3
    let untouched: Float = 12345.5
    var output = [Float](repeating: untouched, count: tokens * stride)
    if let before = options.accumulateInto {
        for token in 0..<tokens {
            for row in 0..<weights.rows { output[token * stride + row] = before[token * weights.rows + row] }
        }
    }
    let kernel = try #require(linearKernel(of: kernels, weights.layout))
    output.withUnsafeMutableBufferPointer { output in
        (options.bias ?? [0]).withUnsafeBufferPointer { bias in
            var job = ck_linear()
            job.weights = UnsafeRawPointer(packed.base)
            job.activations = UnsafeRawPointer(packedActivations.base)
            job.bias = options.bias == nil ? nil : bias.baseAddress
            job.output = output.baseAddress
            job.columns = Int64(weights.paddedColumns)
            job.rows = Int64(weights.rows)
            job.tokens = Int64(tokens)
            job.output_stride = Int64(stride)
            job.accumulate = options.accumulateInto == nil ? 0 : 1
            let cuts = [0] + options.panelCuts + [weights.panels]
            for (begin, end) in zip(cuts, cuts.dropFirst()) { kernel(&job, Int64(begin), Int64(end)) }
        }
    }
    var result: [Float] = []
    for token in 0..<tokens {
        result += output[token * stride..<token * stride + weights.rows]
        #expect(output[token * stride + weights.rows..<(token + 1) * stride].allSatisfy { $0 == untouched })
    }
    return result
}

typealias LinearKernel = @convention(c) (UnsafePointer<ck_linear>?, Int64, Int64) -> Void

/// The C array of kernels is a tuple to Swift.
func linearKernel(of kernels: ck_kernels, _ layout: Layout) -> LinearKernel? {
    if layout.takesBF16 { return kernels.linear_f8_bf16 }
    return withUnsafeBytes(of: layout.isPrecise ? kernels.linear_q16 : kernels.linear) {
        $0.bindMemory(to: LinearKernel?.self)[Int(layout.id.rawValue)]
    }
}

func linearKernels(_ name: String) throws -> ck_kernels { try #require(ck_select(name)).pointee }
