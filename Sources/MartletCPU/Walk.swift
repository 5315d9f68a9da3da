import CKernels
import Glibc
import MartletGraph

/// One replay of a program: plain addresses and counts, the same for all workers.
///
/// Every method computes this worker's share of one instruction. Shares are taken from the pool's cursor, so which worker
/// computes what is not fixed; what is computed for an output is (docs/ARCHITECTURE.md, batch invariance).
struct Walk {
    let kernels: UnsafePointer<ck_kernels>
    let lockstep: Lockstep
    let instructions: UnsafeMutableBufferPointer<Instruction>
    let scratch: UnsafeMutableBufferPointer<WorkerScratch.Addresses>
    let partials: UnsafeMutablePointer<Float>
    let tokenCount: Int
    let sampledCount: Int
    let tokens: UnsafeMutablePointer<Int32>
    let positions: UnsafeMutablePointer<Int32>
    let rows: UnsafeMutablePointer<Int32>
    let sampled: UnsafeMutablePointer<Int32>
    let features: UnsafeMutablePointer<UnsafePointer<Float>?>
    let rotaryPositions: UnsafeMutablePointer<RotaryPosition>
    let requests: UnsafeMutablePointer<StepContext.Request>
    let requestCount: Int
    let windows: UnsafeMutablePointer<StepContext.Request>
    let windowCount: Int
    let hasSplitRequests: Bool
    var workerCount: Int { lockstep.count }

    init(_ program: CPUProgram, _ input: StepInput) {
        kernels = program.kernels
        lockstep = program.workers.lockstep
        instructions = program.instructions
        scratch = program.scratchAddresses
        partials = program.partials
        tokenCount = input.tokenCount
        sampledCount = input.sampledCount
        tokens = input.tokens
        positions = input.positions
        rows = input.rows
        sampled = input.sampled
        features = input.features
        rotaryPositions = input.rotaryPositions
        requests = program.context.requests
        requestCount = program.context.requestCount
        windows = program.context.windows
        windowCount = program.context.windowCount
        hasSplitRequests = program.context.hasSplitRequests
    }

    func run(_ worker: Int) {
        for index in 0..<instructions.count {
            execute(instructions[index], worker)
            barrier()
        }
    }

    @inline(__always)
    func barrier() { lockstep.barrier() }

    /// Calls `body` for this worker's items of `0 ..< total`, `grain` at a time.
    @inline(__always)
    func forEachItem(of total: Int, grain: Int = 1, _ body: (Range<Int>) -> Void) {
        while let range = lockstep.takeItems(grain: grain, of: total) { body(range) }
    }

    @inline(__always)
    func count(_ rows: Rows) -> Int { rows.isSampled ? sampledCount : tokenCount }

    private func execute(_ instruction: Instruction, _ worker: Int) {
        switch instruction {
        case .angles(let table): angles(table)
        case .embed(let matrix, let out): embed(matrix, out)
        case .features(let column, let out): features(column: column, out)
        case .replaceByFeatures(let x, let out): replaceByFeatures(x, out)
        case .layerNorm(let weight, let bias, let epsilon, let x, let out):
            layerNorm(weight, bias, epsilon, x, out, worker)
        case .rmsNorm(let weight, let group, let epsilon, let order, let x, let out):
            rmsNorm(weight, group: group, epsilon, order, x, out, worker)
        case .skipRMSNorm(let weight, let epsilon, let order, let residual, let x, let sum, let out):
            skipRMSNorm(weight, epsilon, order, residual, x, sum, out, worker)
        case .linear(let matrix, let x, let residual, let out): linear(matrix, x, residual, out)
        case .linearSwiGLU(let matrix, let x, let out): linearSwiGLU(matrix, x, out, worker)
        case .addBias(let bias, let x, let out):
            forEachRow(out) { row in kernels.pointee.add(x.row(row), bias, Int64(out.width), out.row(row)) }
        case .add(let a, let b, let out):
            forEachRow(out) { row in kernels.pointee.add(a.row(row), b.row(row), Int64(out.width), out.row(row)) }
        case .multiply(let a, let b, let out):
            forEachRow(out) { row in kernels.pointee.multiply(a.row(row), b.row(row), Int64(out.width), out.row(row)) }
        case .silu(let x, let out):
            forEachRow(out) { row in kernels.pointee.silu(x.row(row), Int64(out.width), out.row(row)) }
        case .gelu(let kind, let x, let out): gelu(kind, x, out, worker)
        case .copyColumns(let x, let column, let out):
            forEachRow(out) { row in
                memcpy(out.row(row) + column, x.row(row), x.width &* MemoryLayout<Float>.size)
            }
        case .groupRows(let count, let x, let out): groupRows(count, x, out)
        case .reorder(let order, let x, let out): reorder(order, x, out, worker)
        case .roundToFloat8(let x, let out):
            forEachRow(out) { row in kernels.pointee.round_to_f8(x.row(row), Int64(out.width), out.row(row)) }
        case .swiGLU(let gate, let up, let out): swiGLU(gate, up, out, worker)
        case .rope(let table, let headDim, let x, let out): rope(table, headDim: headDim, x, out)
        case .storeKV(let layer, let k, let v): storeKV(layer, k, v)
        case .ropeStoreKV(let table, let layer, let q, let k, let v, let out):
            ropeStoreKV(table, layer, q, k, v, out)
        case .attention(let call): attention(call, worker)
        case .storeRows(let layer, let k, let v): storeRows(layer, k, v)
        case .rowAttention(let call): rowAttention(call, worker)
        case .experts(let call): experts(call, worker)
        case .rows(let x, let out):
            forEachRow(out) { row in
                memcpy(out.row(row), x.row(Int(sampled[row])), out.width &* MemoryLayout<Float>.size)
            }
        case .convert(let x, let out):
            forEachRow(out) { row in store(x.row(row), row: row, of: out) }
        }
    }
}
