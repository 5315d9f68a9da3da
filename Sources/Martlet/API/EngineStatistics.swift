/// What an engine does now, and what it has done since it started.
public struct EngineStatistics: Sendable, Hashable {
    public var runningRequests = 0
    public var waitingRequests = 0
    /// Tokens that the KV cache has room for.
    public var cacheRows = 0
    /// Held by running requests; a row that several share counts once.
    public var usedCacheRows = 0
    /// The most that were used at once.
    public var peakCacheRows = 0
    /// Kept for requests to come, as long as nobody needs the room.
    public var idleCacheRows = 0

    public var steps = 0
    /// Tokens that went through the model: answers, prompts without what was cached, and what preemption made it compute
    /// again.
    public var computedTokens = 0
    /// How many steps had up to 1, 8, 16, … tokens (`stepTokenBounds`) and more than the bound before; in the last place,
    /// more than all bounds.
    public var stepsByTokens = [Int](repeating: 0, count: stepTokenBounds.count + 1)
    public var generatedTokens = 0
    /// How often a request drew no token in a step, because what its structure admits was not found out yet.
    public var postponedTokens = 0
    /// Tokens of the prompts of requests that have drawn a token, and of texts as they are computed for embeddings.
    public var promptTokens = 0
    /// Prompt tokens of the requests that began to answer, and how many of these were cached.
    public var prefixCacheQueries = 0
    public var prefixCacheHits = 0
    /// How often a request lost its rows to others.
    public var preemptions = 0
    public var acceptedRequests = 0
    public var finishedRequests = 0
    public var cancelledRequests = 0
    public var failedRequests = 0
    /// Nil where nothing is guessed ahead.
    public var speculation: SpeculationStatistics?
    /// Time spent in steps, and the part of it that the model took.
    public var stepTime: Duration = .zero
    public var modelTime: Duration = .zero

    /// Tokens of a step up to which `stepsByTokens` counts; vLLM's, so that its dashboards fit.
    public static let stepTokenBounds = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384]

    /// A step computed some tokens.
    mutating func countStep(tokens: Int, model: Duration, total: Duration) {
        steps += 1
        computedTokens += tokens
        let bounds = Self.stepTokenBounds
        stepsByTokens[bounds.firstIndex { tokens <= $0 } ?? bounds.count] += 1
        modelTime += model
        stepTime += total
    }
}
