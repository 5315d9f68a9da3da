/// What an execution device offers: the format its kernels want activations in, and the compilation of a graph.
///
/// Models never see a backend: they record a `Graph`, and whoever loads the model hands the graph over.
package protocol Backend: Sendable {
    /// The format in which this backend's kernels read the input of a linear layer with that weight.
    func activationFormat(of weight: LinearWeight) -> ActivationFormat

    /// Uploads and repacks the graph's weights, allocates an arena and a KV pool for each variant, and makes the plans
    /// runnable.
    ///
    /// - Parameters:
    ///   - graph: as the model recorded it; the backend's legalization and each variant's fusions are applied here.
    ///   - variants: ways to compile it. They share weights, threads and device, so only one may run at a time.
    ///   - progress: called with the fraction of weight bytes done, 0 to 1, from one thread at a time.
    /// - Returns: a model for each variant.
    /// - Throws: what reading a weight throws, or an error of the device (memory).
    func compile(
        _ graph: Graph, variants: [CompileOptions], progress: (Double) -> Void
    ) throws -> [any CompiledModel]
}

extension Backend {
    /// Compiles a graph in one way.
    package func compile(
        _ graph: Graph, options: CompileOptions, progress: (Double) -> Void
    ) throws -> any CompiledModel {
        try compile(graph, variants: [options], progress: progress)[0]
    }
}

/// How a graph is compiled.
package struct CompileOptions: Sendable {
    package var limits: StepLimits
    /// Rows of the KV pool; a backend rounds up to its page size.
    package var kvRows: Int
    package var kvType: KVType
    /// Rewrites to apply, in order. Leave one out to measure what it brings.
    package var fusions: [Fusion]
    package var attention = AttentionMethod.paged
    package var output = StepOutput.logits
    /// Where set, every step traces and plans the model anew with this, instead of replaying the plan of load time: to
    /// measure what capturing the plan brings. It must give the graph that was compiled.
    package var retrace: (@Sendable () -> Graph)?

    package init(limits: StepLimits, kvRows: Int, kvType: KVType = .f16, fusions: [Fusion] = Fusion.all) {
        self.limits = limits
        self.kvRows = kvRows
        self.kvType = kvType
        self.fusions = fusions
    }
}

/// What a step gives of its sampled rows.
package enum StepOutput: Sendable {
    case logits
    /// The input of the output projection, `[sampled, hidden]`: what text embeddings are made of.
    case hiddenStates
}

/// How attention is computed, and where it finds K and V. What comes before `paged` is there for comparison: each adds
/// one idea to the one before (docs/LADDER.md).
package enum AttentionMethod: Sendable, CaseIterable {
    /// All scores of a query go to memory, then softmax, then the weighted values. K and V are contiguous rows per
    /// request, repeated for every query head.
    case plain
    /// 64 positions at a time with an online softmax: no score is stored (FlashAttention).
    case tiled
    /// Few queries over a long context split it into chunks that workers share (Flash-Decoding).
    case splitTiled
    /// The KV pool: rows anywhere, kernel-ready pages where they are together, and no K or V repeated (TokenAttention, GQA).
    case paged
}

/// Element type of the KV cache.
package enum KVType: String, Sendable, CaseIterable {
    case f16, bf16
    /// Symmetric codes with a scale per row and head, for K and for V.
    case int8
    case f32

    /// Bytes of one position's K and V of one head.
    package func rowBytes(headDim: Int) -> Int {
        switch self {
        case .f16, .bf16: 2 * headDim * 2
        case .int8: 2 * (headDim + MemoryLayout<Float>.size)
        case .f32: 2 * headDim * 4
        }
    }
}

/// A model that is ready to run steps. Not thread-safe: the engine thread owns it.
package protocol CompiledModel: AnyObject {
    var plan: Plan { get }
    var limits: StepLimits { get }
    /// Rows that the KV pool holds.
    var kvRows: Int { get }
    /// Bytes of packed weights, of the KV pool, and of the arena.
    var memory: MemoryUse { get }
    /// What steps have spent on planning so far; zero if the plan is captured.
    var planningTime: Duration { get }

    /// Replays the plan for this step's metadata.
    ///
    /// - Returns: the logits of the sampled rows, `[input.sampledCount, vocabulary]` row-major, valid until the next call.
    func run(_ input: StepInput) -> UnsafeBufferPointer<Float>
}

package struct MemoryUse: Sendable {
    package var weights: Int
    package var kvCache: Int
    package var arena: Int

    package init(weights: Int, kvCache: Int, arena: Int) {
        self.weights = weights
        self.kvCache = kvCache
        self.arena = arena
    }
}
