import CKernels
import TestSupport
import Testing

/// The instruction sets of this machine, by the name of their table.
let attentionInstructionSets: [String] = ["avx512", "avx2", "neon", "portable"].filter { (name: String) in
    ck_select(name) != nil
}

let attentionTypes = [CK_KV_F16, CK_KV_F32, CK_KV_BF16, CK_KV_INT8]

struct AttentionNoise {
    private var random: TestGenerator

    init(seed: UInt64) { random = TestGenerator(seed: seed) }

    /// Uniform in -1 ..< 1.
    mutating func next() -> Float {
        Float(Int64(random.next() >> 40) - (1 << 23)) / Float(1 << 23)
    }

    mutating func next(count: Int) -> [Float] { (0..<count).map { _ in next() } }
}

/// The value of the nearest IEEE binary16, ties to even.
func roundedToHalf(_ x: Float) -> Float {
    guard x.isFinite, x != 0 else { return x }
    let unit = Float(sign: .plus, exponent: max(x.exponent, -14) - 10, significand: 1)
    let rounded = (x / unit).rounded(.toNearestOrEven) * unit
    return abs(rounded) > 65504 ? Float(signOf: x, magnitudeOf: .infinity) : rounded
}

/// The value of the nearest bfloat16, ties to even.
func roundedToBrainHalf(_ x: Float) -> Float {
    guard x.isFinite else { return x }
    let bits = x.bitPattern
    return Float(bitPattern: (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000)
}

/// A row as symmetric 8-bit codes and what a code is worth.
func quantizedRow(_ row: [Float]) -> (codes: [Int8], scale: Float) {
    guard row.allSatisfy(\.isFinite) else { return (row.map { _ in 0 }, .nan) }
    let largest = row.map(abs).max() ?? 0
    let inverse = largest > 0x1p-100 ? 127 / largest : 0
    return (row.map { Int8(($0 * inverse).rounded(.toNearestOrEven)) }, largest / 127)
}

/// A row as the cache keeps it.
func rounded(_ row: [Float], _ type: ck_kv_type) -> [Float] {
    switch type {
    case CK_KV_F16: return row.map(roundedToHalf)
    case CK_KV_BF16: return row.map(roundedToBrainHalf)
    case CK_KV_INT8:
        let (codes, scale) = quantizedRow(row)
        return codes.map { Float($0) * scale }
    default: return row
    }
}

/// One job: queries of a KV head and the chunk of context that they look at.
struct AttentionShape: CustomTestStringConvertible {
    var headDim = 64
    var group = 1
    var queryTokens = 1
    var firstQuery = 0
    var firstPosition = 0
    var pageCount = 1
    var window = 0

    var stride: Int { (headDim + 15) / 16 * 16 }
    var stateCount: Int { 16 + stride }
    var positions: Range<Int> { firstPosition..<firstPosition + pageCount * 64 }
    var scale: Float { 1 / Float(headDim).squareRoot() }

    func visible(token: Int) -> Range<Int> {
        let last = firstQuery + token
        let begin = window > 0 ? max(positions.lowerBound, last - window + 1) : positions.lowerBound
        let end = min(positions.upperBound, last + 1)
        return begin < end ? begin..<end : begin..<begin
    }

    var testDescription: String {
        "hd \(headDim) group \(group) tokens \(firstQuery)+\(queryTokens) "
            + "pages \(firstPosition)+\(pageCount)x64 window \(window)"
    }
}

/// KV rows in pages. Slots never stored hold NaN.
final class AttentionCache {
    let kernels: UnsafePointer<ck_kernels>
    let type: ck_kv_type
    let shape: AttentionShape
    private(set) var pages: [UnsafeMutableRawPointer?]
    /// What was stored, as the cache rounds it, by position.
    private(set) var keys: [Int: [Float]] = [:]
    private(set) var values: [Int: [Float]] = [:]

    init(_ instructionSet: String, _ type: ck_kv_type, _ shape: AttentionShape) {
        kernels = ck_select(instructionSet)!
        self.type = type
        self.shape = shape
        let bytes = Int(ck_kv_page_bytes(type, Int64(shape.headDim)))
        pages = (0..<shape.pageCount).map { _ in
            let page = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
            page.initializeMemory(as: UInt8.self, repeating: 0xFF, count: bytes)  // NaN; of int8 the scales
            return page
        }
    }

    deinit { for page in pages { page?.deallocate() } }

    func store(_ key: [Float], _ value: [Float], at position: Int) {
        let row = position - shape.firstPosition
        ck_run_kv_store(kernels, type, key, value, Int64(shape.headDim), pages[row / 64], Int64(row % 64))
        keys[position] = rounded(key, type)
        values[position] = rounded(value, type)
    }

    /// Takes over a row of another cache as it is there.
    func copy(_ position: Int, of other: AttentionCache) {
        let (from, to) = (position - other.shape.firstPosition, position - shape.firstPosition)
        ck_run_kv_copy(
            kernels, type, other.pages[from / 64], Int64(from % 64), pages[to / 64], Int64(to % 64),
            Int64(shape.headDim))
        keys[position] = other.keys[position]
        values[position] = other.values[position]
    }

    /// Stores a random row at every position that some query of the shape sees, and at no other.
    func fill(_ noise: inout AttentionNoise) {
        for position in shape.positions {
            let seen = (0..<shape.queryTokens).contains { shape.visible(token: $0).contains(position) }
            let key = noise.next(count: shape.headDim)
            let value = noise.next(count: shape.headDim)
            if seen { store(key, value, at: position) }
        }
    }

    /// The partial results of the query tokens `tokens` and heads `heads` (all by default), computed in one call.
    /// `queries` is [queryTokens][group][headDim].
    func attend(_ queries: [Float], tokens: Range<Int>? = nil, heads: Range<Int>? = nil) -> [[Float]] {
        let tokens = tokens ?? 0..<shape.queryTokens
        let heads = heads ?? 0..<shape.group
        let count = tokens.count * heads.count
        var partials = [Float](repeating: .nan, count: count * shape.stateCount)
        let pointers = pages.map { UnsafeRawPointer($0) }
        queries.withUnsafeBufferPointer { queries in
            pointers.withUnsafeBufferPointer { pointers in
                partials.withUnsafeMutableBufferPointer { partials in
                    var job = ck_attention()
                    job.queries =
                        queries.baseAddress!
                        + (tokens.lowerBound * shape.group + heads.lowerBound) * shape.headDim
                    job.query_stride = Int64(shape.group * shape.headDim)
                    job.query_tokens = Int64(tokens.count)
                    job.group = Int64(heads.count)
                    job.head_dim = Int64(shape.headDim)
                    job.first_query = Int64(shape.firstQuery + tokens.lowerBound)
                    job.pages = pointers.baseAddress
                    job.page_count = Int64(shape.pageCount)
                    job.first_position = Int64(shape.firstPosition)
                    job.window = Int64(shape.window)
                    job.scale = shape.scale
                    job.partials = partials.baseAddress
                    ck_run_attention(kernels, type, &job)
                }
            }
        }
        return (0..<count).map { Array(partials[$0 * shape.stateCount..<($0 + 1) * shape.stateCount]) }
    }

    func finish(_ state: [Float]) -> [Float] {
        var out = [Float](repeating: .nan, count: shape.headDim)
        kernels.pointee.attention_finish(state, Int64(shape.headDim), &out)
        return out
    }

    func merge(_ partial: [Float], into state: inout [Float]) {
        kernels.pointee.attention_merge(&state, partial, Int64(shape.stride))
    }
}

/// Softmax attention of one query in double precision, all scores at once.
struct AttentionReference {
    var maximum = -Double.infinity
    var sum = 0.0
    var output: [Double]

    init(query: [Float], positions: Range<Int>, cache: AttentionCache) {
        output = [Double](repeating: 0, count: query.count)
        let scores = positions.map { position in
            zip(query, cache.keys[position]!).reduce(0) { $0 + Double($1.0) * Double($1.1) } * Double(cache.shape.scale)
        }
        maximum = scores.max() ?? maximum
        for (position, score) in zip(positions, scores) {
            let weight = exponential(score - maximum)
            sum += weight
            let value = cache.values[position]!
            for d in output.indices { output[d] += weight * Double(value[d]) }
        }
        if sum > 0 { output = output.map { $0 / sum } }
    }

    /// Bound on the error of float arithmetic with queries, keys and values in -1 ... 1. A score is a chain of headDim
    /// roundings of sums up to headDim / sqrt(headDim) after scaling; its error acts on a weight as a relative one. The
    /// output adds a rounding per position and about 4 per exponential. Weights are positive and sum to 1.
    ///
    /// The kernels of some instruction sets round more: with bf16 weights to 8 bits (2^-9 of each); with int8 weights to
    /// 16 bits of a page's largest (2^-17 of that, for each of its 64 positions, at worst all one way) and queries to
    /// 2^-15 of their largest element, so that a scaled score is off by up to sqrt(headDim) / 2 of that.
    static func tolerance(_ shape: AttentionShape, _ type: ck_kv_type) -> Double {
        let root = Double(shape.headDim).squareRoot()
        let roundings = root * Double(shape.headDim) / 4 + Double(shape.positions.count) + 16
        let rounding = type == CK_KV_BF16 ? 0x1p-9 : type == CK_KV_INT8 ? 0x1p-11 + root * 0x1p-15 : 0
        return roundings * 0x1p-24 + rounding
    }
}

func bits(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }
