/// The scheduler's bounds.
package struct SchedulerLimits: Sendable, Hashable {
    /// Tokens of all requests together in one step.
    package var maxBatchedTokens: Int
    /// Requests that run at the same time.
    package var maxRequests: Int
    /// Rows of one step whose logits are computed: one for each request, and drafts take what is left.
    package var maxSampledRows: Int
    /// Requests that wait. Preempted ones don't count: they were accepted long ago.
    package var maxQueuedRequests: Int
    /// Prompt tokens of all requests that wait.
    package var maxQueuedTokens: Int
    /// Tokens of one request in one step, or nil for no such bound. A smaller chunk lets the others' tokens come sooner.
    package var prefillChunk: Int?
    /// Tokens of prompt and answer together, at most.
    package var contextLength: Int
    /// Whether requests share the rows of common prefixes, and rows outlive their requests.
    package var cachesPrefixes: Bool
    /// Tokens that rows are set aside for when a request is admitted, or nil for what answers had so far.
    package var assumedAnswerTokens: Int?

    package init(
        maxBatchedTokens: Int, maxRequests: Int, maxSampledRows: Int? = nil, maxQueuedRequests: Int,
        maxQueuedTokens: Int = .max, prefillChunk: Int? = nil, contextLength: Int, cachesPrefixes: Bool = true,
        assumedAnswerTokens: Int? = nil
    ) {
        precondition(maxBatchedTokens > 0 && maxRequests > 0 && maxQueuedRequests > 0 && contextLength > 0)
        precondition(maxQueuedTokens > 0 && prefillChunk.map { $0 > 0 } ?? true)
        precondition(maxSampledRows.map { $0 >= maxRequests } ?? true)
        self.maxBatchedTokens = maxBatchedTokens
        self.maxRequests = maxRequests
        self.maxSampledRows = maxSampledRows ?? maxRequests
        self.maxQueuedRequests = maxQueuedRequests
        self.maxQueuedTokens = maxQueuedTokens
        self.prefillChunk = prefillChunk
        self.contextLength = contextLength
        self.cachesPrefixes = cachesPrefixes
        self.assumedAnswerTokens = assumedAnswerTokens
    }
}
