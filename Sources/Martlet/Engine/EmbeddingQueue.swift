/// The texts that want embeddings: which of their tokens the next step computes, and in which rows of a KV pool of their own.
///
/// A text is computed once, from its first token to its last, and then nobody needs its rows. So rows are handed out one
/// after the other, and begin anew when no text runs: there is nothing to evict. Policy only: no tensors, no clock.
package struct EmbeddingQueue: Sendable {
    package struct Text: Sendable {
        package let id: RequestID
        package let tokens: [Int32]
        package let pooling: EmbeddingPooling
        let terms: RequestTerms
        /// Tokens that are computed, counting those of the step under way.
        package internal(set) var computedCount = 0
        /// Its first row.
        package internal(set) var firstRow = 0
        /// Of the rows so far, in the order of the tokens; in float64 and one by one, so that chunks don't show.
        var sum: [Double] = []
    }

    /// A text's share of a step.
    package struct Entry: Sendable, Hashable {
        /// Its place among the running texts.
        package var index: Int
        package var start: Int
        package var count: Int
        /// How many of the last tokens' hidden states are wanted.
        package var wantedCount: Int
    }

    package private(set) var waiting: [Text] = []
    /// The most important first.
    package private(set) var running: [Text] = []
    private var waitingTokens = 0
    /// The last step left texts waiting although a place was free: rows or tokens were short.
    private var hasBacklog = false
    private var usedRows = 0
    private let rowCount: Int
    private let width: Int
    private let limits: SchedulerLimits

    /// Texts begin on a page of their own.
    private static let pageRows = 64

    /// - Parameters:
    ///   - rowCount: rows of the KV pool.
    ///   - width: of a hidden state.
    package init(rowCount: Int, limits: SchedulerLimits, width: Int) {
        self.rowCount = rowCount
        self.limits = limits
        self.width = width
    }

    package var hasWork: Bool { !running.isEmpty || !waiting.isEmpty }

    /// How many more texts may come. Those that the next step lets run don't wait.
    var queueRoom: Int { limits.maxQueuedRequests + openPlaces - waiting.count }

    /// - Parameter hasPlace: it was promised a place in the queue (`QueueGauge`).
    /// - Throws: `contextLengthExceeded` for more tokens than the model reads, `queueFull`.
    package mutating func add(
        _ id: RequestID, _ tokens: [Int32], _ pooling: EmbeddingPooling, _ terms: RequestTerms, hasPlace: Bool = false
    ) throws(EngineError) {
        let longest = min(limits.contextLength, rowCount)
        guard tokens.count <= longest else {
            throw EngineError(
                .contextLengthExceeded, "the text has \(tokens.count) tokens; it may have \(longest)",
                parameter: "prompt")
        }
        guard hasPlace || queueRoom > 0 else {
            throw EngineError(.queueFull, "\(waiting.count) texts are waiting already; try again later")
        }
        // A single text is never too long to wait.
        guard waiting.isEmpty || waitingTokens + tokens.count <= limits.maxQueuedTokens else {
            throw EngineError(
                .queueFull, "texts with \(waitingTokens) tokens are waiting already; try again later")
        }
        waitingTokens += tokens.count
        waiting.append(Text(id: id, tokens: tokens, pooling: pooling, terms: terms))
    }

    /// How many waiting texts the next step can let run, as far as that can be told: where one was left waiting beside a free
    /// place, places are not what is short.
    private var openPlaces: Int { hasBacklog && !waiting.isEmpty ? 0 : max(0, limits.maxRequests - running.count) }

    /// Plans the next step.
    ///
    /// - Parameter allowance: what the step may cost.
    package mutating func schedule(_ allowance: PromptAllowance) -> [Entry] {
        var budget = limits.maxBatchedTokens
        var allowance = allowance
        var entries: [Entry] = []
        if running.isEmpty { usedRows = 0 }
        var index = 0
        while budget > 0 {
            guard admit(at: index) || index < running.count else { break }
            let start = running[index].computedCount
            let left = running[index].tokens.count - start
            let count = min(left, budget, allowance.tokens(from: start))
            guard count > 0 else { break }
            let wanted =
                switch running[index].pooling {
                case .mean: count
                case .last: count == left ? 1 : 0
                }
            entries.append(Entry(index: index, start: start, count: count, wantedCount: wanted))
            running[index].computedCount += count
            allowance.charge(count, from: start)
            budget -= count
            index += 1
        }
        hasBacklog = !waiting.isEmpty && running.count < limits.maxRequests
        return entries
    }

    /// Lets the most important text that waits begin, if it is more important than the running one at this place; of equals,
    /// the one that came first. Otherwise a long text would hold it up until its end.
    private mutating func admit(at place: Int) -> Bool {
        guard running.count < limits.maxRequests,
            var next = waiting.indices.first
        else { return false }
        for index in waiting.indices where waiting[index].terms.priority > waiting[next].terms.priority { next = index }
        guard place == running.count || waiting[next].terms.priority > running[place].terms.priority else {
            return false
        }
        let rows = (waiting[next].tokens.count + Self.pageRows - 1) / Self.pageRows * Self.pageRows
        // Alone, a text always fits.
        guard usedRows == 0 || usedRows + rows <= rowCount else { return false }
        var text = waiting.remove(at: next)
        text.terms.turn?.come()
        waitingTokens -= text.tokens.count
        text.firstRow = usedRows
        text.sum = Array(repeating: 0, count: width)
        usedRows += rows
        running.insert(text, at: place)
        return true
    }

    /// Takes the hidden states that a step gave.
    ///
    /// - Parameter rows: `[wanted tokens of all entries][width]`.
    /// - Returns: the texts that are finished, with their vectors. They have left.
    package mutating func update(
        _ entries: [Entry], _ rows: UnsafeBufferPointer<Float>
    ) -> [(id: RequestID, vector: [Float])] {
        var first = 0
        var finished: [(id: RequestID, vector: [Float])] = []
        for entry in entries {
            for row in first..<first + entry.wantedCount {
                for column in 0..<width { running[entry.index].sum[column] += Double(rows[row * width + column]) }
            }
            first += entry.wantedCount
            let text = running[entry.index]
            guard text.computedCount == text.tokens.count else { continue }
            let count = text.pooling == .mean ? text.tokens.count : 1
            finished.append((text.id, text.sum.map { Float($0 / Double(count)) }))
        }
        if !finished.isEmpty { running.removeAll { $0.computedCount == $0.tokens.count } }
        return finished
    }

    /// Ends a text wherever it stands. Not between `schedule` and `update`.
    package mutating func remove(_ id: RequestID) {
        running.removeAll { $0.id == id }
        if let index = waiting.firstIndex(where: { $0.id == id }) {
            waitingTokens -= waiting.remove(at: index).tokens.count
        }
    }

    /// The texts whose time is over.
    func expired(at now: ContinuousClock.Instant) -> [(id: RequestID, why: RequestTerms.Expiry)] {
        running.compactMap { text in text.terms.expiry(at: now, hasRun: true).map { (text.id, $0) } }
            + waiting.compactMap { text in text.terms.expiry(at: now, hasRun: false).map { (text.id, $0) } }
    }
}
