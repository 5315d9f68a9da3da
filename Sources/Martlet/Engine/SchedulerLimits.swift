/// The scheduler's bounds.
package struct SchedulerLimits: Sendable, Hashable {
    /// Tokens of all requests together in one step.
    package var maxBatchedTokens: Int
    /// Requests that run at the same time.
    package var maxRequests: Int
    /// Requests that wait. Preempted ones don't count: they were accepted long ago.
    package var maxQueuedRequests: Int
    /// Tokens of one request in one step, or nil for no such bound. A smaller chunk lets the others' tokens come sooner.
    package var prefillChunk: Int?
    /// Tokens of prompt and answer together, at most.
    package var contextLength: Int

    package init(
        maxBatchedTokens: Int, maxRequests: Int, maxQueuedRequests: Int, prefillChunk: Int? = nil, contextLength: Int
    ) {
        precondition(maxBatchedTokens > 0 && maxRequests > 0 && maxQueuedRequests > 0 && contextLength > 0)
        precondition(prefillChunk.map { $0 > 0 } ?? true)
        self.maxBatchedTokens = maxBatchedTokens
        self.maxRequests = maxRequests
        self.maxQueuedRequests = maxQueuedRequests
        self.prefillChunk = prefillChunk
        self.contextLength = contextLength
    }
}
