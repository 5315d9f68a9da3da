extension Scheduler {
    /// Tokens that one request may have, prompt and answer together.
    package var maxRequestTokens: Int { memory.table.positionCount }

    /// How many more requests may come. Those that the next step lets run don't wait.
    package var queueRoom: Int { queue.room(limits, places: openPlaces) }

    /// How many waiting requests the next step can let run, as far as that can be told: where one was left waiting beside
    /// a free slot, slots are not what is short.
    private var openPlaces: Int {
        if hasBacklog && !queue.requests.isEmpty { return 0 }
        let preemptedCount = queue.requests.count - queue.newCount
        return max(0, limits.maxRequests - running.count - preemptedCount)
    }

    /// Queues a request. Its `maxTokens` is cut to what fits the context and the pool.
    ///
    /// - Parameter hasPlace: it was promised a place in the queue (`QueueGauge`).
    /// - Throws: `contextLengthExceeded` or `cacheTooSmall` when it could never generate a token, `queueFull`.
    package mutating func add(_ request: consuming RequestState, hasPlace: Bool = false) throws(EngineError) {
        let promptCount = request.promptCount
        guard promptCount < limits.contextLength else {
            throw EngineError(
                .contextLengthExceeded,
                "the prompt has \(promptCount) tokens; with a context of \(limits.contextLength) tokens "
                    + "it may have \(limits.contextLength - 1)", parameter: "prompt")
        }
        guard promptCount < memory.pool.rowCount else {
            throw EngineError(
                .cacheTooSmall,
                "the prompt has \(promptCount) tokens; the KV cache of \(memory.pool.rowCount) tokens "
                    + "has room for \(memory.pool.rowCount - 1)", parameter: "prompt")
        }
        guard hasPlace || queueRoom > 0 else {
            throw EngineError(.queueFull, "\(queue.newCount) requests are waiting already; try again later")
        }
        try queue.checkTokens(promptCount, limits)
        let room = maxRequestTokens - promptCount
        if request.limits.maxTokens > room { (request.limits.maxTokens, request.limits.isOpenEnded) = (room, true) }
        request.account = shares.join(request.terms.client)
        queue.insert(request)
    }

    /// Ends a request wherever it stands. Not between `schedule` and `update`.
    ///
    /// - Returns: whether there was such a request.
    @discardableResult
    package mutating func abort(_ id: RequestID) -> Bool {
        if let index = running.firstIndex(where: { $0.id == id }) {
            memory.release(&running[index], keeps: true)
            shares.leave(running.remove(at: index).account)
            return true
        }
        guard let index = queue.requests.firstIndex(where: { $0.id == id }) else { return false }
        shares.leave(queue.remove(at: index).account)
        return true
    }

    /// Ends the requests of a step that failed, and no others. Nobody knows what the step left in the rows that it was to
    /// write, and others may share them: everyone starts again, and nothing stays cached.
    ///
    /// - Returns: the requests that ended.
    package mutating func fail(_ step: borrowing SchedulerOutput) -> [RequestID] {
        let failed = step.entries.map(\.id)
        for index in running.indices {
            let isInStep = failed.contains(running[index].id)
            if isInStep { shares.leave(running[index].account) }
            memory.release(&running[index], keeps: false)
            if !isInStep {
                running[index].preempt()
                queue.insert(running[index])
            }
        }
        running.removeAll()
        memory.clearCache()
        return failed
    }

    /// Gives up the requests whose time is over. Not between `schedule` and `update`.
    package mutating func expire(at now: ContinuousClock.Instant) -> [(id: RequestID, why: RequestTerms.Expiry)] {
        var expired: [(id: RequestID, why: RequestTerms.Expiry)] = []
        for index in running.indices {
            if let why = running[index].expiry(at: now) { expired.append((running[index].id, why)) }
        }
        for index in queue.requests.indices {
            if let why = queue.requests[index].expiry(at: now) { expired.append((queue.requests[index].id, why)) }
        }
        for request in expired { abort(request.id) }
        return expired
    }

    /// Forgets every cached prefix that no running request uses.
    package mutating func clearPrefixCache() { memory.clearCache() }

    /// What is wrong with the bookkeeping, in words; empty when all is well. Not between `schedule` and `update`. Walks
    /// everything: for tests.
    package func checkInvariants() -> [String] { memory.checkInvariants(running) }
}
