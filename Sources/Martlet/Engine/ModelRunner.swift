package import MartletGraph

/// Turns a scheduled step into the model's input, and runs the model.
package final class ModelRunner {
    package let limits: StepLimits
    package let rowCount: Int
    package let vocabularySize: Int
    private let input: StepInput
    private let compute: (StepInput) throws -> UnsafeBufferPointer<Float>
    /// Nil where there are logits only.
    let embedder: EmbeddingRunner?

    /// - Parameter hiddenStates: the same model up to its final norm, for embeddings.
    package convenience init(_ model: any CompiledModel, hiddenStates: (any CompiledModel)? = nil) {
        self.init(
            limits: model.limits, rowCount: model.kvRows, vocabularySize: model.plan.logits.shape.width,
            embedder: hiddenStates.map { EmbeddingRunner($0) }, compute: model.run)
    }

    /// - Parameters:
    ///   - rowCount: rows of the KV pool.
    ///   - compute: gives the logits of the sampled rows, `[sampledCount, vocabularySize]`, valid until the next call.
    package init(
        limits: StepLimits, rowCount: Int, vocabularySize: Int, embedder: EmbeddingRunner? = nil,
        compute: @escaping (StepInput) throws -> UnsafeBufferPointer<Float>
    ) {
        self.embedder = embedder
        self.limits = limits
        self.rowCount = rowCount
        self.vocabularySize = vocabularySize
        self.compute = compute
        input = StepInput(limits: limits)
    }

    /// Computes a step that the scheduler has planned.
    ///
    /// - Returns: a row of logits for every sampled token, in the order of the step's entries.
    package func run(_ step: SchedulerOutput, of scheduler: borrowing Scheduler) throws -> UnsafeBufferPointer<Float> {
        prepare(step, of: scheduler)
        return try compute(input)
    }

    private func prepare(_ step: SchedulerOutput, of scheduler: borrowing Scheduler) {
        input.removeAll()
        input.copies = step.copies
        for entry in step.entries {
            scheduler.running[entry.index].tokens.withUnsafeBufferPointer { tokens in
                input.append(
                    query: UnsafeBufferPointer(rebasing: tokens[entry.start..<entry.start + entry.count]),
                    computed: entry.start, table: scheduler.memory.table.rows(entry.slot),
                    sampledTail: entry.sampledCount,
                    features: scheduler.running[entry.index].features)
            }
        }
    }
}
