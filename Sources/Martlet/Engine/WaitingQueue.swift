/// Requests that wait for rows: new ones, bounded in number and in prompt tokens, and preempted ones, which were accepted
/// long ago and don't count.
struct WaitingQueue: Sendable {
    private(set) var requests: [RequestState] = []
    /// Prompt tokens of the requests that never ran.
    private(set) var newTokenCount = 0
    private(set) var newCount = 0

    /// - Parameter places: how many of the requests the next step can let run.
    /// - Returns: how many more may come; negative where places went since they did, or were promised.
    func room(_ limits: SchedulerLimits, places: Int) -> Int { limits.maxQueuedRequests + places - newCount }

    /// - Throws: `queueFull`. A single request is never too long to wait.
    func checkTokens(_ promptCount: Int, _ limits: SchedulerLimits) throws(EngineError) {
        guard newCount == 0 || newTokenCount + promptCount <= limits.maxQueuedTokens else {
            throw EngineError(
                .queueFull, "requests with \(newTokenCount) prompt tokens are waiting already; try again later")
        }
    }

    mutating func insert(_ request: consuming RequestState) {
        if !request.hasRun {
            newCount += 1
            newTokenCount += request.promptCount
        }
        requests.append(request)
    }

    mutating func remove(at index: Int) -> RequestState {
        let request = requests.remove(at: index)
        if !request.hasRun {
            newCount -= 1
            newTokenCount -= request.promptCount
        }
        return request
    }

    /// Who runs next: of the highest priority, whoever has run before; else of the client that got the fewest tokens, the
    /// one that came first.
    ///
    /// - Parameter priority: nobody, unless of a higher one.
    func next(_ shares: borrowing FairShare, above priority: Int? = nil) -> Int? {
        guard var best = requests.indices.first else { return nil }
        for index in requests.indices.dropFirst() where precedes(index, best, shares) { best = index }
        if let priority, requests[best].terms.priority <= priority { return nil }
        return best
    }

    private func precedes(_ a: Int, _ b: Int, _ shares: borrowing FairShare) -> Bool {
        if requests[a].terms.priority == requests[b].terms.priority {
            if requests[a].hasRun != requests[b].hasRun { return requests[a].hasRun }
            if !requests[a].hasRun {
                let (tokensOfA, tokensOfB) = (shares.tokens(requests[a].account), shares.tokens(requests[b].account))
                if tokensOfA != tokensOfB { return tokensOfA < tokensOfB }
            }
        }
        return requests[a].precedes(requests[b])
    }
}
