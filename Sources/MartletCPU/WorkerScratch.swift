import CKernels
import MartletGraph

/// The largest shapes of a plan, which scratch memory is sized by.
struct ScratchShape {
    /// Floats of the widest row.
    var width = 0
    var heads = 0
    /// Floats of an attention state: 16 for maximum and sum, then the value vector.
    var stateFloats = 0
    /// Query heads per KV head, at most.
    var group = 0
    /// Floats of a query token's heads of one KV head, where all of a block's queries are brought together; or 0.
    var queryFloats = 0
    /// Bytes of the gathered pages of one chunk.
    var gatherBytes = 0

    init(_ plan: Plan) {
        for call in plan.calls {
            for operand in call.inputs + call.outputs { width = max(width, operand.shape.width) }
            guard case .attention(let attention) = call.op else { continue }
            let valueStride = KVPool.valueStride(attention.kv.headDim)
            heads = max(heads, attention.heads)
            group = max(group, attention.group)
            stateFloats = max(stateFloats, 16 + valueStride)
            if attention.scope != .past { queryFloats = max(queryFloats, attention.group * attention.kv.headDim) }
            let pageBytes = KVPool.pageBytes(headDim: attention.kv.headDim, plan.kvType)
            gatherBytes = max(gatherBytes, CK_CHUNK_PAGES * pageBytes)
        }
    }
}

/// One worker's private memory, allocated once.
final class WorkerScratch {
    /// Tokens of a SwiGLU block: gate and up of a unit stay in the first-level cache.
    static let swiGLUTokens = 64
    /// Output columns of a SwiGLU unit: two activation groups of the product that follows.
    static let swiGLUColumns = 64

    struct Addresses {
        /// One row of the widest operand.
        var row: UnsafeMutablePointer<Float>
        /// Another one, in another order of columns.
        var ordered: UnsafeMutablePointer<Float>
        /// Gate and up of one SwiGLU unit, `[swiGLUTokens][2 · swiGLUColumns]`.
        var gateUp: UnsafeMutablePointer<Float>
        /// Running attention states of a query block, and the partial results of one chunk.
        var states: UnsafeMutablePointer<Float>
        var partials: UnsafeMutablePointer<Float>
        /// Queries of a block that are brought together.
        var queries: UnsafeMutablePointer<Float>
        /// Scattered KV rows gathered into pages.
        var pages: UnsafeMutableRawPointer
    }

    let addresses: Addresses
    private let memory: UnsafeMutableRawPointer

    init(_ shape: ScratchShape) {
        let stateCount = StepContext.queryBlock * max(shape.group, 1) * max(shape.stateFloats, 1)
        let gateUpCount = Self.swiGLUTokens * 2 * Self.swiGLUColumns
        var offset = 0
        func reserve(_ bytes: Int) -> Int {
            defer { offset += (bytes + 127) / 128 * 128 }
            return offset
        }
        let row = reserve(shape.width * 4)
        let ordered = reserve(shape.width * 4)
        let gateUp = reserve(gateUpCount * 4)
        let states = reserve(stateCount * 4)
        let partials = reserve(stateCount * 4)
        let queries = reserve(StepContext.queryBlock * shape.queryFloats * 4)
        let pages = reserve(max(shape.gatherBytes, 1))
        let memory = UnsafeMutableRawPointer.allocate(byteCount: offset, alignment: 128)
        self.memory = memory
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: offset)
        func floats(_ offset: Int) -> UnsafeMutablePointer<Float> {
            (memory + offset).assumingMemoryBound(to: Float.self)
        }
        addresses = Addresses(
            row: floats(row), ordered: floats(ordered), gateUp: floats(gateUp), states: floats(states),
            partials: floats(partials), queries: floats(queries), pages: memory + pages)
    }

    deinit { memory.deallocate() }
}
