import CKernels
import MartletGraph

/// A plan with every reference resolved: packed weights, the KV pool and the arena behind a list of instructions that
/// the workers walk in lockstep, one barrier after each.
final class CPUProgram: CompiledModel {
    let plan: Plan
    var limits: StepLimits { plan.limits }
    var kvRows: Int { pool.rows }
    var memory: MemoryUse {
        MemoryUse(weights: weights.byteCount, kvCache: pool.byteCount, arena: plan.arenaBytes)
    }

    let kernels: UnsafePointer<ck_kernels>
    let workers: WorkerPool
    let context: StepContext
    let instructions: UnsafeMutableBufferPointer<Instruction>
    let scratch: [WorkerScratch]
    /// Scratch of each worker as addresses, for the hot loop.
    let scratchAddresses: UnsafeMutableBufferPointer<WorkerScratch.Addresses>
    /// Partial results of split attention, grown in `prepare`.
    private(set) var partials: UnsafeMutablePointer<Float>
    private var partialCapacity = 0

    private let weights: PackedWeights
    private let pool: KVPool
    private let arena: AlignedMemory
    private let parameters: ParameterMemory
    private let logits: Rows
    private let largestAttention: (heads: Int, stateFloats: Int)

    init(
        plan: Plan, kvRows: Int, weights: PackedWeights, kernels: UnsafePointer<ck_kernels>, pool workers: WorkerPool
    ) throws(CPUBackendError) {
        self.plan = plan
        self.weights = weights
        self.kernels = kernels
        self.workers = workers
        pool = try KVPool(layers: plan.kvLayers, rows: kvRows, type: plan.kvType)
        arena = try AlignedMemory(byteCount: plan.arenaBytes)
        parameters = ParameterMemory()
        context = StepContext(limits: plan.limits)
        let resolver = InstructionResolver(
            plan: plan, weights: weights, pool: pool, arena: arena, parameters: parameters)
        let list = resolver.instructions()
        instructions = .allocate(capacity: list.count)
        _ = instructions.initialize(from: list)
        logits = resolver.rows(plan.logits)
        let shape = ScratchShape(plan)
        let scratch = (0..<workers.count).map { _ in WorkerScratch(shape) }
        self.scratch = scratch
        scratchAddresses = .allocate(capacity: scratch.count)
        _ = scratchAddresses.initialize(from: scratch.map(\.addresses))
        largestAttention = (shape.heads, shape.stateFloats)
        partials = .allocate(capacity: 1)
    }

    deinit {
        instructions.deallocate()
        scratchAddresses.deallocate()
        partials.deallocate()
    }

    func run(_ input: StepInput) -> UnsafeBufferPointer<Float> {
        precondition(input.tokenCount > 0)
        workers.pinCaller()
        context.prepare(input)
        let needed = context.partialTokens * largestAttention.heads * largestAttention.stateFloats
        if needed > partialCapacity {
            partials.deallocate()
            partialCapacity = needed + needed / 2
            partials = .allocate(capacity: partialCapacity)
        }
        var walk = Walk(self, input)
        withUnsafeMutablePointer(to: &walk) { pointer in
            workers.run(UnsafeMutableRawPointer(pointer)) { raw, worker in
                raw.assumingMemoryBound(to: Walk.self).pointee.run(worker)
            }
        }
        return UnsafeBufferPointer(start: logits.floats, count: input.sampledCount * logits.width)
    }
}

/// Small float parameters (norm weights, frequencies, rotary tables) at fixed addresses.
final class ParameterMemory {
    private var blocks: [UnsafeMutablePointer<Float>] = []

    func allocate(_ count: Int) -> UnsafeMutablePointer<Float> {
        let raw = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
        let block = raw.bindMemory(to: Float.self, capacity: max(count, 1))
        block.initialize(repeating: 0, count: max(count, 1))
        blocks.append(block)
        return block
    }

    func store(_ values: [Float]) -> UnsafeMutablePointer<Float> {
        let block = allocate(values.count)
        block.update(from: values, count: values.count)
        return block
    }

    deinit {
        for block in blocks { UnsafeMutableRawPointer(block).deallocate() }
    }
}
