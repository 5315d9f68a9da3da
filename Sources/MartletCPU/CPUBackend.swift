import CKernels
package import MartletGraph

/// Runs plans on the CPU: weights repacked into interleaved panels, workers in lockstep, kernels chosen for the
/// instruction set once at start.
package struct CPUBackend: Backend {
    package let threads: Int
    package let policy: LayoutPolicy
    /// Name of the kernel table: "avx512", "avx2", "neon" or "portable".
    package let instructionSet: String
    private let pinsThreads: Bool

    /// - Parameters:
    ///   - threads: workers in all, the engine's thread included.
    ///   - instructionSet: a name to force it, or nil for the best that the CPU has.
    ///   - pinsThreads: keeps each worker on a processor of its own.
    package init(
        threads: Int, policy: LayoutPolicy = .init(), instructionSet: String? = nil, pinsThreads: Bool = false
    ) throws(CPUBackendError) {
        precondition(threads > 0)
        self.pinsThreads = pinsThreads
        self.threads = threads
        guard let table = ck_select(instructionSet) else {
            throw .unknownInstructionSet(instructionSet ?? "best")
        }
        self.instructionSet = String(cString: table.pointee.name)
        var policy = policy
        policy.roundsFloat8Inputs = table.pointee.linear_f8_bf16 != nil
        self.policy = policy
    }

    package func activationFormat(of weight: LinearWeight) -> ActivationFormat {
        // A weight without a kernel is reported by `compile`; until then any answer will do.
        (try? policy.activationFormat(weight)) ?? .f32
    }

    package func compile(
        _ graph: Graph, variants: [CompileOptions], progress: (Double) -> Void
    ) throws -> [any CompiledModel] {
        guard let kernels = ck_select(instructionSet) else {
            throw CPUBackendError.unknownInstructionSet(instructionSet)
        }
        let plans = variants.map { Plan(graph, options: $0, activationFormat: activationFormat) }
        for case .experts(let experts) in graph.nodes.map(\.op) { try policy.check(experts) }
        let pool = WorkerPool(count: threads, isPinned: pinsThreads)
        let weights = try PackedWeights(
            plans.flatMap(\.linearWeights), policy: policy, pool: pool, progress: progress)
        return try zip(plans, variants).map { plan, options in
            try CPUProgram(
                plan: plan, options: options, weights: weights, kernels: kernels, pool: pool,
                activationFormat: activationFormat)
        }
    }
}

/// All matrices of a model in one allocation, which any number of its plans share.
final class PackedWeights {
    private let memory: AlignedMemory
    /// Kept alive, because identities are theirs.
    private let weights: [LinearWeight]
    private var matrices: [LinearWeight.Identity: PackedMatrix] = [:]

    var byteCount: Int { memory.byteCount }

    subscript(weight: LinearWeight) -> PackedMatrix {
        guard let matrix = matrices[weight.identity] else {
            preconditionFailure("\(weight.name) is not part of the plan")
        }
        return matrix
    }

    /// - Parameter all: every weight of every plan; each matrix is packed once, however often it is named.
    init(
        _ all: [LinearWeight], policy: LayoutPolicy, pool: WorkerPool, progress: (Double) -> Void
    ) throws {
        var seen = Set<LinearWeight.Identity>()
        let weights = all.filter { seen.insert($0.identity).inserted }
        self.weights = weights
        var offsets: [Int] = []
        var total = 0
        for weight in weights {
            offsets.append(total)
            total += (try policy.byteCount(weight) + 127) / 128 * 128
        }
        memory = try AlignedMemory(byteCount: total)
        let widest = weights.map(\.columns).max() ?? 0
        let scratch = Scratch((0..<pool.count).map { _ in PackingScratch(columns: widest) })
        for (index, weight) in weights.enumerated() {
            let matrix = try PackedMatrix(weight, policy: policy, memory: memory.base + offsets[index])
            matrices[weight.identity] = matrix
            let job = Scratch([matrix])
            // The file's pages leave memory slice by slice: a large matrix is never there twice.
            let slice = max(Self.sliceBytes / max(weight.columns * CK_PANEL, 1), 1)
            for first in stride(from: 0, to: matrix.panelCount, by: slice) {
                let count = min(slice, matrix.panelCount - first)
                pool.forEach(count) { panel, worker in
                    job.items[0].pack(panel: first + panel, of: weight, scratch.items[worker])
                }
                if weight.parts.count == 1 {
                    weight.parts[0].release(rows: first * CK_PANEL..<(first + count) * CK_PANEL)
                }
            }
            for part in weight.parts { part.release(rows: 0..<part.rows) }
            progress(Double(index + 1) / Double(weights.count))
        }
    }

    /// Weights, in bytes if each took one, that are packed between two releases of file pages.
    private static let sliceBytes = 32 << 20

    /// Hands objects to the workers, each of which touches only its own.
    private struct Scratch<Item>: @unchecked Sendable {
        let items: [Item]
        init(_ items: [Item]) { self.items = items }
    }
}

extension Plan {
    /// The weight matrices that the plan's calls read, in order.
    var linearWeights: [LinearWeight] { calls.flatMap(\.op.weights) }
}
