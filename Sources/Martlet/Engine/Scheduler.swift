/// Decides what each step computes: continuous batching with chunked prompts, first come, first served.
///
/// As in vLLM v1 there are no phases: running requests come first, then waiting ones, each with as many of its known,
/// uncomputed tokens as the step's budget allows. When rows run out, the newest running request gives up its own and
/// goes back to the front of the queue. The oldest one therefore always makes progress, and since no request may grow
/// beyond the pool, every request finishes. Policy only: no tensors, no clock, no threads.
package struct Scheduler: ~Copyable {
    /// Rows kept free for every running request when another is admitted, so that the newcomer isn't preempted at once.
    static let headroomPerRequest = 16

    package let limits: SchedulerLimits
    package private(set) var cache: KVCacheManager
    package private(set) var table: TokenTable
    /// In order of arrival.
    package private(set) var running: [RequestState] = []
    package private(set) var waiting: [RequestState] = []
    package private(set) var preemptionCount = 0
    /// How many of `waiting` were preempted; they stand at its front.
    private var preemptedCount = 0
    // Kept between steps so that planning one allocates nothing.
    private var output = SchedulerOutput()
    private var updates: [RequestUpdate] = []

    package init(rowCount: Int, limits: SchedulerLimits) {
        self.limits = limits
        cache = KVCacheManager(rowCount: rowCount)
        table = TokenTable(slotCount: limits.maxRequests, positionCount: min(rowCount, limits.contextLength))
        running.reserveCapacity(limits.maxRequests)
    }

    /// Tokens that one request may have, prompt and answer together.
    package var maxRequestTokens: Int { table.positionCount }

    package var hasWork: Bool { !running.isEmpty || !waiting.isEmpty }

    /// Queues a request. Its `maxTokens` is cut to what fits the context and the pool.
    ///
    /// - Throws: `contextLengthExceeded` or `cacheTooSmall` when it could never generate a token, `queueFull`.
    package mutating func add(_ request: consuming RequestState) throws(EngineError) {
        let promptCount = request.promptCount
        guard promptCount < limits.contextLength else {
            throw EngineError(
                .contextLengthExceeded,
                "the prompt has \(promptCount) tokens; with a context of \(limits.contextLength) tokens "
                    + "it may have \(limits.contextLength - 1)", parameter: "prompt")
        }
        guard promptCount < cache.rowCount else {
            throw EngineError(
                .cacheTooSmall,
                "the prompt has \(promptCount) tokens; the KV cache of \(cache.rowCount) tokens "
                    + "has room for \(cache.rowCount - 1)", parameter: "prompt")
        }
        guard waiting.count - preemptedCount < limits.maxQueuedRequests else {
            throw EngineError(.queueFull, "\(limits.maxQueuedRequests) requests are waiting already; try again later")
        }
        request.limits.maxTokens = min(request.limits.maxTokens, maxRequestTokens - promptCount)
        waiting.append(request)
    }

    /// Plans the next step and allocates its rows.
    package mutating func schedule() -> SchedulerOutput {
        output.removeAll()
        var budget = limits.maxBatchedTokens
        scheduleRunning(&budget)
        // Rows were short a moment ago: nobody new now.
        if output.preempted.isEmpty { scheduleWaiting(&budget) }
        return output
    }

    private mutating func scheduleRunning(_ budget: inout Int) {
        var index = 0
        while index < running.count && budget > 0 {
            let count = chunk(of: running[index], budget: budget)
            while cache.freeCount < count {
                preemptNewest()
                // It was the newest itself, and everyone older is scheduled already.
                if index == running.count { return }
            }
            schedule(index, count, &budget)
            index += 1
        }
    }

    private mutating func scheduleWaiting(_ budget: inout Int) {
        while budget > 0, let next = waiting.first, canAdmit(next), let slot = table.acquireSlot() {
            running.append(waiting.removeFirst())
            preemptedCount = max(0, preemptedCount - 1)
            let index = running.count - 1
            running[index].admit(slot: slot)
            schedule(index, chunk(of: running[index], budget: budget), &budget)
        }
    }

    private func chunk(of request: borrowing RequestState, budget: Int) -> Int {
        min(request.uncomputedCount, limits.prefillChunk ?? budget, budget)
    }

    private mutating func schedule(_ index: Int, _ count: Int, _ budget: inout Int) {
        guard let slot = running[index].slot else { preconditionFailure("only running requests are scheduled") }
        let start = running[index].computedCount
        guard cache.allocate(start..<start + count, in: table.rows(slot)) else {
            preconditionFailure("rows were counted before")
        }
        running[index].advance(by: count)
        let sampledCount = running[index].uncomputedCount == 0 ? 1 : 0
        output.entries.append(
            .init(
                id: running[index].id, index: index, slot: slot, start: start, count: count, sampledCount: sampledCount)
        )
        output.tokenCount += count
        output.sampledCount += sampledCount
        budget -= count
    }

    /// Whether the rows suffice for all known tokens of a request, besides what the running ones still need for theirs
    /// and a few tokens more for each. An estimate: when it was too bold, preemption puts it right.
    private func canAdmit(_ request: borrowing RequestState) -> Bool {
        guard !running.isEmpty else { return true }
        var needed = request.tokens.count + 1
        for index in running.indices { needed += running[index].uncomputedCount + Self.headroomPerRequest }
        return needed <= cache.freeCount
    }

    private mutating func preemptNewest() {
        guard var request = running.popLast() else { preconditionFailure("a request alone always has rows") }
        releaseMemory(of: request)
        request.preempt()
        output.preempted.append(request.id)
        waiting.insert(request, at: 0)
        preemptedCount += 1
        preemptionCount += 1
    }

    private mutating func releaseMemory(of request: RequestState) {
        guard let slot = request.slot else { preconditionFailure("only running requests hold memory") }
        let rows = table.rows(slot)
        for position in 0..<request.computedCount { cache.release(rows[position]) }
        table.releaseSlot(slot)
    }

    /// Takes the step's tokens, one for every entry with logits, in order; nil where none could be drawn.
    ///
    /// - Returns: what became of these requests. Those that are finished have left, and their rows are free.
    package mutating func update(_ step: borrowing SchedulerOutput, tokens: [Int32?]) -> [RequestUpdate] {
        precondition(tokens.count == step.sampledCount)
        updates.removeAll(keepingCapacity: true)
        var anyFinished = false
        for index in step.entries.indices where step.entries[index].sampledCount > 0 {
            let entry = step.entries[index]
            precondition(running[entry.index].id == entry.id)
            let token = tokens[updates.count]
            let reason = if let token { running[entry.index].append(token) } else { FinishReason.error }
            if let reason {
                releaseMemory(of: running[entry.index])
                running[entry.index].finish(reason)
                anyFinished = true
            }
            updates.append(RequestUpdate(id: entry.id, token: token, finishReason: reason))
        }
        if anyFinished { running.removeAll { $0.slot == nil } }
        return updates
    }

    /// Ends a request wherever it stands. Not between `schedule` and `update`.
    ///
    /// - Returns: whether there was such a request.
    @discardableResult
    package mutating func abort(_ id: RequestID) -> Bool {
        if let index = running.firstIndex(where: { $0.id == id }) {
            releaseMemory(of: running[index])
            running.remove(at: index)
            return true
        }
        guard let index = waiting.firstIndex(where: { $0.id == id }) else { return false }
        waiting.remove(at: index)
        if index < preemptedCount { preemptedCount -= 1 }
        return true
    }
}
