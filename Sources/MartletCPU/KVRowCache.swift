import CKernels
import MartletGraph

/// K and V as an engine keeps them before it has a pool: a contiguous run of rows per request, repeated for every query
/// head. The optimization ladder measures what Martlet's pool brings over it (docs/LADDER.md).
///
/// The repetition is written with the token. That is kinder than `repeat_kv` in `transformers`, which copies the whole
/// cache in every step.
final class KVRowCache {
    /// One layer: plain numbers for the hot loop.
    struct Layer {
        /// `[2][heads][rows][KVPool.valueStride(headDim)]`: K, then V.
        var base: UnsafeMutableRawPointer
        var heads: Int
        var kvHeads: Int
        var headDim: Int
        var rows: Int
        var rowBytes: Int
        var type: ck_kv_type

        var group: Int { heads / kvHeads }

        @inline(__always)
        func key(_ row: Int, head: Int) -> UnsafeMutableRawPointer { base + (head &* rows &+ row) &* rowBytes }
        @inline(__always)
        func value(_ row: Int, head: Int) -> UnsafeMutableRawPointer { key(row, head: heads &+ head) }
    }

    let rows: Int
    /// By the layer's number in the model.
    let layers: [Int: Layer]
    private let memory: AlignedMemory

    var byteCount: Int { memory.byteCount }

    /// - Parameter rows: at least; as many as a pool for that many holds.
    init(_ attentions: [AttentionParameters], rows: Int, type: KVType) throws(CPUBackendError) {
        let rows = (rows + KVPool.pageRows - 1) / KVPool.pageRows * KVPool.pageRows
        guard type == .f16 || type == .f32 else { throw .unsupportedKVType(type.rawValue) }
        let elementBytes = type == .f16 ? 2 : 4
        var total = 0
        var layouts: [(attention: AttentionParameters, offset: Int, rowBytes: Int)] = []
        for attention in attentions {
            let rowBytes = KVPool.valueStride(attention.kv.headDim) * elementBytes
            layouts.append((attention, total, rowBytes))
            total += 2 * attention.heads * rows * rowBytes
        }
        let memory = try AlignedMemory(byteCount: total)
        var layers: [Int: Layer] = [:]
        for (attention, offset, rowBytes) in layouts {
            let kv = attention.kv
            layers[kv.layer] = Layer(
                base: memory.base + offset, heads: attention.heads, kvHeads: kv.kvHeads, headDim: kv.headDim,
                rows: rows, rowBytes: rowBytes, type: type == .f16 ? CK_KV_F16 : CK_KV_F32)
        }
        self.rows = rows
        self.layers = layers
        self.memory = memory
    }
}

/// What attention over plain rows needs beyond its operands.
struct RowAttentionCall {
    var layer: KVRowCache.Layer
    var method: AttentionMethod
    var scale: Float
    var window: Int
    var query: Rows
    var out: Rows
    var scratch: RowScratch
}

/// Memory of the plain method: for each worker, the scores and the states of all query tokens of a step and one head.
struct RowScratch {
    var base: UnsafeMutablePointer<Float>
    /// Floats from a query token's scores to the next one's.
    var scoreStride: Int
    /// Floats of the scores of all query tokens.
    var scoreFloats: Int
    /// Floats from a worker's scratch to the next one's.
    var stride: Int

    init(_ memory: AlignedMemory, scoreStride: Int, scoreFloats: Int, stride: Int) {
        base = memory.base.assumingMemoryBound(to: Float.self)
        (self.scoreStride, self.scoreFloats, self.stride) = (scoreStride, scoreFloats, stride)
    }

    @inline(__always)
    func scores(_ worker: Int) -> UnsafeMutablePointer<Float> { base + worker &* stride }
    @inline(__always)
    func states(_ worker: Int) -> UnsafeMutablePointer<Float> { scores(worker) + scoreFloats }
}

/// Everything that attention over plain rows keeps between steps.
final class RowAttention {
    let method: AttentionMethod
    let cache: KVRowCache
    private let memory: AlignedMemory
    private let scratch: RowScratch

    var byteCount: Int { cache.byteCount }

    /// - Throws: `CPUBackendError.outOfMemory` if there is no room for the repeated rows, or for the scores.
    init(_ plan: Plan, method: AttentionMethod, rows: Int, workers: Int) throws(CPUBackendError) {
        self.method = method
        let attentions = plan.calls.compactMap { call -> AttentionParameters? in
            if case .attention(let attention) = call.op { attention } else { nil }
        }
        cache = try KVRowCache(attentions, rows: rows, type: plan.kvType)
        let tokens = method == .plain ? plan.limits.tokens : 0
        let scoreStride = cache.rows
        let stride = tokens * (scoreStride + ScratchShape(plan).stateFloats)
        memory = try AlignedMemory(byteCount: workers * stride * MemoryLayout<Float>.size)
        scratch = RowScratch(memory, scoreStride: scoreStride, scoreFloats: tokens * scoreStride, stride: stride)
    }

    func store(_ layer: KVLayer, k: Rows, v: Rows) -> Instruction { .storeRows(self[layer], k: k, v: v) }

    func attention(_ attention: AttentionParameters, query: Rows, out: Rows) -> Instruction {
        .rowAttention(
            RowAttentionCall(
                layer: self[attention.kv], method: method, scale: attention.scale, window: attention.window,
                query: query, out: out, scratch: scratch))
    }

    private subscript(layer: KVLayer) -> KVRowCache.Layer {
        guard let layer = cache.layers[layer.layer] else { preconditionFailure("no KV rows for layer \(layer.layer)") }
        return layer
    }
}
