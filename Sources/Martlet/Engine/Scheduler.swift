/// Decides what each step computes: continuous batching with chunked prompts.
///
/// As in vLLM v1 there are no phases: running requests come first, then waiting ones, each with as many of its known,
/// uncomputed tokens as the step's budget allows. Who waits for a next token comes before prompts, so that a long prompt
/// delays others by one chunk at most. When rows run out, the least important running request (the lowest priority, then
/// the newest) gives up its own and waits again. The most important one therefore always makes progress, and since no
/// request may grow beyond the pool, every request finishes. Policy only: no tensors, no clock, no threads.
package struct Scheduler: ~Copyable {
    package let limits: SchedulerLimits
    package internal(set) var memory: RequestMemory
    /// The most important first: by priority, then by age.
    package internal(set) var running: [RequestState] = []
    var queue = WaitingQueue()
    var shares = FairShare()
    /// The last step left requests waiting although a slot was free: rows or tokens were short.
    private(set) var hasBacklog = false
    private var answers: AnswerLength
    private var estimate = PeakEstimate()
    package private(set) var counters = Counters()
    // Kept between steps so that planning one allocates nothing.
    private var output = SchedulerOutput()
    private var updates: [RequestUpdate] = []

    package struct Counters: Sendable, Hashable {
        package var preemptions = 0
        /// Prompt tokens of requests that began to run, and how many of them others had computed.
        package var prefixQueries = 0
        package var prefixHits = 0
        /// Most rows that requests held at once; what is only cached doesn't count.
        package var peakRows = 0
    }

    /// What is left of a step.
    private struct Budget {
        var tokens: Int
        var prompts: PromptAllowance
        /// Rows of logits beyond one for each request: for drafts, and for the log-probabilities of prompts.
        var extraRows: Int
        /// Whether requests that wait may begin: nobody new where rows are short, or where the next one does not fit.
        var admits = true
    }

    package init(rowCount: Int, limits: SchedulerLimits) {
        self.limits = limits
        answers = AnswerLength(assumed: limits.assumedAnswerTokens)
        memory = RequestMemory(
            rowCount: rowCount, slotCount: limits.maxRequests, positionCount: min(rowCount, limits.contextLength),
            cachesPrefixes: limits.cachesPrefixes)
        running.reserveCapacity(limits.maxRequests)
    }

    package var waiting: [RequestState] { queue.requests }
    /// Clients that have requests here.
    package var clientCount: Int { shares.clientCount }
    package var hasWork: Bool { !running.isEmpty || !queue.requests.isEmpty }

    // MARK: A step

    /// Plans the next step and allocates its rows.
    ///
    /// - Parameter allowance: what prompts may cost where others wait for their next token.
    package mutating func schedule(_ allowance: PromptAllowance = .unlimited) -> SchedulerOutput {
        output.removeAll()
        running.sort { $0.precedes($1) }
        makeWayForUrgentRequest()
        var budget = Budget(
            tokens: limits.maxBatchedTokens, prompts: allowance,
            extraRows: limits.maxSampledRows - limits.maxRequests)
        scheduleNextTokens(&budget)
        if output.entries.isEmpty { budget.prompts = .unlimited }
        schedulePrompts(&budget)
        // Who was alone and gave up its rows itself, as it held copies of shared ones, begins again at once.
        if running.isEmpty { budget.admits = true }
        scheduleWaiting(&budget)
        hasBacklog = !queue.requests.isEmpty && running.count < limits.maxRequests
        counters.peakRows = max(counters.peakRows, memory.usedCount)
        return output
    }

    /// Requests of which one known token is left. They get that before any gets room for a draft.
    private mutating func scheduleNextTokens(_ budget: inout Budget) {
        var waiting = running.count { $0.uncomputedCount == 1 }
        var index = 0
        while index < running.count && budget.tokens > 0 {
            guard running[index].uncomputedCount == 1 else {
                index += 1
                continue
            }
            if running[index].isDecoding && !running[index].isAligned {
                memory.align(&running[index], copies: &output.copies)
            }
            while memory.availableCount < 1 {
                preemptLast()
                budget.admits = false
                // It was the last itself, and all that are more important are scheduled already.
                if index == running.count { return }
            }
            waiting -= 1
            let draft = max(0, min(budget.extraRows, budget.tokens - 1 - waiting, memory.availableCount - 1))
            running[index].truncateDraft(to: draft)
            compute(index, 1 + running[index].draftCount, &budget)
            index += 1
        }
    }

    /// Requests of which more known tokens are left. More urgent ones that wait begin before them: a long prompt may take all
    /// that prompts get, step after step.
    private mutating func schedulePrompts(_ budget: inout Budget) {
        // Those that begin meanwhile are behind these, and part of the step.
        let count = running.count
        var priority: Int?
        var index = 0
        while index < min(count, running.count) && budget.tokens > 0 {
            defer { index += 1 }
            guard running[index].uncomputedCount > 1 else { continue }
            if priority != running[index].terms.priority {
                priority = running[index].terms.priority
                scheduleWaiting(&budget, above: priority)
            }
            // Another request may have computed what comes next.
            memory.reusePrefix(&running[index])
            let wanted = chunk(of: running[index], budget)
            // The last may be part of this step already; it is short of rows itself, then, before long.
            while memory.availableCount < wanted, running.count - 1 > index, running.count <= count,
                running[running.count - 1].uncomputedCount > 0
            {
                preemptLast()
                budget.admits = false
            }
            let chunk = min(wanted, memory.availableCount)
            if chunk < wanted { budget.admits = false }
            if chunk > 0 { compute(index, chunk, &budget) }
        }
    }

    /// Lets requests begin that wait.
    ///
    /// - Parameter priority: only those of a higher one; nil for all.
    private mutating func scheduleWaiting(_ budget: inout Budget, above priority: Int? = nil) {
        while budget.admits, budget.tokens > 0, memory.table.freeSlotCount > 0,
            let next = queue.next(shares, above: priority)
        {
            var request = queue.remove(at: next)
            guard memory.admit(&request) else { preconditionFailure("slots were counted before") }
            // Copies of shared rows (`RequestMemory.align`) are in no estimate.
            let count = min(chunk(of: request, budget), memory.availableCount)
            guard count > 0, running.isEmpty || estimatedPeak(with: request) <= memory.pool.rowCount else {
                memory.release(&request, keeps: true)
                request.withdraw()
                queue.insert(request)
                budget.admits = false
                return
            }
            running.append(request)
            compute(running.count - 1, count, &budget)
        }
    }

    /// Makes a request's next tokens part of the step.
    private mutating func compute(_ index: Int, _ count: Int, _ budget: inout Budget) {
        guard let slot = running[index].slot else { preconditionFailure("only running requests are scheduled") }
        let start = running[index].computedCount
        let isPrompt = !running[index].isDecoding
        let promptRowCount = running[index].promptRowCount(ofNext: count)
        memory.extend(&running[index], by: count)
        shares.charge(running[index].account, tokens: count)

        let sampledCount = promptRowCount + max(0, 1 - running[index].uncomputedCount)
        output.entries.append(
            .init(
                id: running[index].id, index: index, slot: slot, start: start, count: count, sampledCount: sampledCount,
                promptRowCount: promptRowCount)
        )
        output.tokenCount += count
        output.sampledCount += sampledCount
        budget.tokens -= count
        budget.extraRows -= max(0, sampledCount - 1)
        guard isPrompt else { return }
        output.promptTokenCount += count
        output.promptPositionCount += count * start + count * count / 2
        budget.prompts.charge(count, from: start)
    }

    private func chunk(of request: borrowing RequestState, _ budget: borrowing Budget) -> Int {
        var count = min(
            request.uncomputedCount, limits.prefillChunk ?? .max, budget.tokens,
            budget.prompts.tokens(from: request.computedCount))
        if request.wantsPromptLogits {
            count = min(count, max(0, request.promptLogitsStart - request.computedCount) + 1 + budget.extraRows)
        }
        return count
    }

    // MARK: Preemption

    private mutating func preemptLast() {
        guard var request = running.popLast() else { preconditionFailure("a request alone always has rows") }
        memory.release(&request, keeps: true)
        request.preempt()
        output.preempted.append(request.id)
        queue.insert(request)
        counters.preemptions += 1
    }

    /// A request that has to wait for slots or rows takes those of a less important one, one request per step.
    private mutating func makeWayForUrgentRequest() {
        guard let next = queue.next(shares), let last = running.last,
            queue.requests[next].terms.priority > last.terms.priority,
            memory.table.freeSlotCount == 0 || estimatedPeak(with: queue.requests[next]) > memory.pool.rowCount
        else { return }
        preemptLast()
    }

    /// How many rows the running requests and another will need at most, as far as that can be told.
    private mutating func estimatedPeak(with candidate: RequestState) -> Int {
        estimate.removeAll()
        for index in running.indices {
            // A draft that is part of this step holds rows as well.
            let held = max(running[index].knownCount, running[index].computedCount)
            estimate.add(
                known: held - memory.sharedCount(of: running[index]),
                remaining: answers.remaining(running[index]))
        }
        estimate.add(
            known: candidate.knownCount - memory.sharedCount(of: candidate), remaining: answers.remaining(candidate))
        return estimate.peak() + memory.prefixes.sharedCount
    }

    // MARK: Results

    /// Takes the tokens that the step's logits gave. A request that drew none computes its last token again.
    ///
    /// - Returns: what became of their requests. Those that are finished have left, and their rows are free.
    package mutating func update(_ step: borrowing SchedulerOutput, _ drawn: borrowing DrawnTokens) -> [RequestUpdate] {
        updates.removeAll(keepingCapacity: true)
        var (entry, draw) = (0, 0)
        var anyFinished = false
        for index in step.entries.indices where step.entries[index].drawCount > 0 {
            let count = drawn.counts[entry]
            let mayWait = step.entries[index].count == step.entries[index].drawCount
            precondition((count > 0 || mayWait) && count <= step.entries[index].drawCount)
            if accept(drawn, draw..<draw + count, at: step.entries[index].index, id: step.entries[index].id) {
                anyFinished = true
            }
            entry += 1
            draw += count
        }
        precondition(draw == drawn.tokens.count)
        if anyFinished { running.removeAll { $0.slot == nil } }
        return updates
    }

    /// - Returns: whether that finished the request.
    private mutating func accept(
        _ drawn: borrowing DrawnTokens, _ draws: Range<Int>, at index: Int, id: RequestID
    ) -> Bool {
        precondition(running[index].id == id)
        if running[index].generatedCount == 0 {
            counters.prefixQueries += running[index].promptCount
            counters.prefixHits += running[index].cachedCount
        }
        var reason: FinishReason?
        for draw in draws where reason == nil {
            let token = drawn.tokens[draw]
            reason = if let token { running[index].append(token) } else { .error }
            updates.append(
                RequestUpdate(
                    id: id, token: token, draw: draw, cachedCount: running[index].cachedCount, finishReason: reason))
        }
        memory.rejectDraft(of: &running[index])
        guard let reason else { return false }
        answers.record(running[index].generatedCount)
        memory.release(&running[index], keeps: !running[index].isDistrusted)
        shares.leave(running[index].account)
        running[index].finish(reason)
        return true
    }

    /// Nothing of a request's context stays cached when it ends: the model's logits for it were no numbers, and those of the next
    /// request that begins like it would be none either.
    package mutating func distrust(at index: Int) { running[index].isDistrusted = true }

    /// Guesses the tokens that follow a request's known ones. They are computed in its next step as far as there is room;
    /// what was guessed before is forgotten.
    package mutating func propose(_ draft: some Sequence<Int32>, at index: Int) {
        running[index].truncateDraft(to: 0)
        running[index].propose(draft)
    }
}
