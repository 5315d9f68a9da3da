package import MartletGraph

/// Turns a step of texts into the model's input, and runs the model up to its final norm. Used on the engine's thread only:
/// it shares the model's workers.
package final class EmbeddingRunner {
    package let rowCount: Int
    /// Values of a hidden state.
    package let width: Int
    private let input: StepInput
    private let compute: (StepInput) -> UnsafeBufferPointer<Float>
    /// Rows are handed out in order: row n is at place n.
    private let rows: UnsafeMutablePointer<Int32>

    /// - Parameter model: gives hidden states (`StepOutput`), of every token of a step if need be.
    package init(_ model: any CompiledModel) {
        precondition(model.limits.sampled >= model.limits.tokens)
        rowCount = model.kvRows
        width = model.plan.logits.shape.width
        input = StepInput(limits: model.limits)
        compute = model.run
        rows = .allocate(capacity: rowCount)
        for row in 0..<rowCount { rows[row] = Int32(truncatingIfNeeded: row) }
    }

    deinit { rows.deallocate() }

    /// - Returns: a row for every wanted token, in the order of the entries; valid until the next call.
    package func run(_ entries: [EmbeddingQueue.Entry], of queue: borrowing EmbeddingQueue) -> UnsafeBufferPointer<
        Float
    > {
        input.removeAll()
        for entry in entries {
            queue.running[entry.index].tokens.withUnsafeBufferPointer { tokens in
                input.append(
                    query: UnsafeBufferPointer(rebasing: tokens[entry.start..<entry.start + entry.count]),
                    computed: entry.start, table: rows + queue.running[entry.index].firstRow,
                    sampledTail: entry.wantedCount)
            }
        }
        return compute(input)
    }
}
