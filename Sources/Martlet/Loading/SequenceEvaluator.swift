package import MartletGraph

/// Runs token sequences through a model directly, without scheduler or sampler: for logits, perplexity and benchmarks.
///
/// Each sequence has a fixed range of rows of the KV pool, so its context is always contiguous.
package final class SequenceEvaluator {
    private let model: any CompiledModel
    private let input: StepInput
    private let table: UnsafeMutablePointer<Int32>
    private let rowsPerSequence: Int
    private var lengths: [Int]
    /// Rows for image tokens, of every sequence.
    package var features: TokenFeatures?

    /// - Parameter sequences: how many share the KV pool; each gets an equal part.
    package init(_ model: any CompiledModel, sequences: Int = 1) {
        precondition(sequences > 0 && sequences <= model.limits.requests)
        self.model = model
        input = StepInput(limits: model.limits)
        // Whole pages, so that the context of every sequence is read in place.
        rowsPerSequence = model.kvRows / sequences / 64 * 64
        table = .allocate(capacity: sequences * rowsPerSequence)
        for row in 0..<sequences * rowsPerSequence { table[row] = Int32(truncatingIfNeeded: row) }
        lengths = Array(repeating: 0, count: sequences)
    }

    deinit { table.deallocate() }

    /// Tokens that a sequence can hold.
    package var capacity: Int { rowsPerSequence }

    package func length(of sequence: Int) -> Int { lengths[sequence] }

    /// Forgets what comes after `length` tokens of a sequence.
    package func truncate(_ sequence: Int, to length: Int) {
        precondition(length <= lengths[sequence])
        lengths[sequence] = length
    }

    /// Appends tokens to sequences and computes them in one step.
    ///
    /// - Parameters:
    ///   - queries: the sequence's index and its next tokens; together at most `limits.tokens`.
    ///   - logits: of how many last tokens of each the logits are computed.
    /// - Returns: logits row-major, in the order of the queries, valid until the next call.
    @discardableResult
    package func step(_ queries: [(sequence: Int, tokens: ArraySlice<Int32>)], logits: Int) -> UnsafeBufferPointer<
        Float
    > {
        input.removeAll()
        for (sequence, tokens) in queries {
            precondition(lengths[sequence] + tokens.count <= rowsPerSequence, "the sequence is full")
            tokens.withUnsafeBufferPointer { query in
                input.append(
                    query: query, computed: lengths[sequence], table: table + sequence * rowsPerSequence,
                    sampledTail: min(logits, query.count), features: features)
            }
            lengths[sequence] += tokens.count
        }
        return model.run(input)
    }

    /// Appends `tokens` to sequence 0 in chunks and calls `body` with each chunk's logits `[count, vocabulary]`.
    package func forEachLogits(
        of tokens: [Int32], chunk: Int, _ body: (_ first: Int, _ count: Int, UnsafeBufferPointer<Float>) throws -> Void
    ) rethrows {
        let chunk = min(chunk, model.limits.tokens, model.limits.sampled)
        for first in stride(from: 0, to: tokens.count, by: chunk) {
            let part = tokens[first..<min(first + chunk, tokens.count)]
            try body(first, part.count, step([(0, part)], logits: part.count))
        }
    }
}
