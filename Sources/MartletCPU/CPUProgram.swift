import CKernels
import MartletGraph

/// A plan with every reference resolved: packed weights, the KV pool and the arena behind a list of instructions that
/// the workers walk in lockstep, one barrier after each.
final class CPUProgram: CompiledModel {
    private(set) var plan: Plan
    var limits: StepLimits { plan.limits }
    let kvRows: Int
    let memory: MemoryUse
    private(set) var planningTime = Duration.zero

    let kernels: UnsafePointer<ck_kernels>
    let workers: WorkerPool
    let context: StepContext
    private(set) var instructions: UnsafeMutableBufferPointer<Instruction>
    let scratch: [WorkerScratch]
    /// Scratch of each worker as addresses, for the hot loop.
    let scratchAddresses: UnsafeMutableBufferPointer<WorkerScratch.Addresses>
    /// Partial results of split attention, grown in `prepare`.
    private(set) var partials: UnsafeMutablePointer<Float>
    private var partialCapacity = 0

    private let options: CompileOptions
    private let activationFormat: (LinearWeight) -> ActivationFormat
    private let weights: PackedWeights
    private let kv: KVMemory
    private let arena: AlignedMemory
    private var parameters: ParameterMemory
    private var logits: Rows
    private let largestAttention: (heads: Int, stateFloats: Int)

    /// - Parameter activationFormat: the backend's, for planning anew.
    init(
        plan: Plan, options: CompileOptions, weights: PackedWeights, kernels: UnsafePointer<ck_kernels>,
        pool workers: WorkerPool, activationFormat: @escaping (LinearWeight) -> ActivationFormat
    ) throws(CPUBackendError) {
        self.plan = plan
        self.options = options
        self.weights = weights
        self.kernels = kernels
        self.workers = workers
        self.activationFormat = activationFormat
        let kvBytes: Int
        if options.attention == .paged {
            let pool = try KVPool(layers: plan.kvLayers, rows: options.kvRows, type: plan.kvType)
            kv = .pool(pool)
            (kvRows, kvBytes) = (pool.rows, pool.byteCount)
        } else {
            let attention = try RowAttention(
                plan, method: options.attention, rows: options.kvRows, workers: workers.count)
            kv = .rows(attention)
            (kvRows, kvBytes) = (attention.cache.rows, attention.byteCount)
        }
        arena = try AlignedMemory(byteCount: plan.arenaBytes)
        memory = MemoryUse(weights: weights.byteCount, kvCache: kvBytes, arena: plan.arenaBytes)
        context = StepContext(limits: plan.limits)
        parameters = ParameterMemory()
        let resolver = InstructionResolver(plan: plan, weights: weights, kv: kv, arena: arena, parameters: parameters)
        instructions = Self.allocate(resolver.instructions())
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
        if let retrace = options.retrace { planningTime += ContinuousClock().measure { replan(retrace) } }
        context.prepare(input)
        switch kv {
        case .pool(let pool):
            pool.clearMemory(behind: UnsafeBufferPointer(start: input.rows, count: input.tokenCount))
            pool.copy(input.copies, kernels)
        case .rows:
            precondition(context.isContiguous && input.copies.isEmpty, "plain rows want a request's rows in one run")
        }
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

    /// Does what a step does without a captured plan: traces the model, rewrites the graph, plans its memory and resolves
    /// its calls. Memory and packed weights stay.
    private func replan(_ retrace: () -> Graph) {
        plan = Plan(retrace(), options: options, activationFormat: activationFormat)
        precondition(plan.arenaBytes <= arena.byteCount, "another graph than was compiled")
        parameters = ParameterMemory()
        let resolver = InstructionResolver(plan: plan, weights: weights, kv: kv, arena: arena, parameters: parameters)
        instructions.deallocate()
        instructions = Self.allocate(resolver.instructions())
        logits = resolver.rows(plan.logits)
    }

    private static func allocate(_ list: [Instruction]) -> UnsafeMutableBufferPointer<Instruction> {
        let instructions = UnsafeMutableBufferPointer<Instruction>.allocate(capacity: list.count)
        _ = instructions.initialize(from: list)
        return instructions
    }
}

/// Small parameters (norm weights, frequencies, rotary tables, lists of matrices) at fixed addresses.
final class ParameterMemory {
    private var blocks: [UnsafeMutableRawPointer] = []

    /// Zeros.
    func allocate(_ count: Int) -> UnsafeMutablePointer<Float> { allocate(count, of: 0) }

    /// Room for `count` values, at least one, that all are `value` at first. They must be plain numbers and addresses.
    func allocate<Value>(_ count: Int, of value: Value) -> UnsafeMutablePointer<Value> {
        let count = max(count, 1)
        let raw = UnsafeMutableRawPointer.allocate(byteCount: count * MemoryLayout<Value>.stride, alignment: 64)
        blocks.append(raw)
        let block = raw.bindMemory(to: Value.self, capacity: count)
        block.initialize(repeating: value, count: count)
        return block
    }

    func store<Value: Numeric>(_ values: [Value]) -> UnsafeMutablePointer<Value> {
        let block = allocate(values.count, of: Value.zero)
        block.update(from: values, count: values.count)
        return block
    }

    deinit {
        for block in blocks { block.deallocate() }
    }
}
