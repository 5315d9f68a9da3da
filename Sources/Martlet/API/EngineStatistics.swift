/// What an engine does now, and what it has done since it started.
public struct EngineStatistics: Sendable, Hashable {
    public var runningRequests = 0
    public var waitingRequests = 0
    /// Tokens that the KV cache has room for.
    public var cacheRows = 0
    public var usedCacheRows = 0
    /// The most that were ever in use.
    public var peakCacheRows = 0

    public var steps = 0
    /// Tokens that went through the model: prompts, answers, and what preemption made it compute again.
    public var computedTokens = 0
    public var generatedTokens = 0
    /// Tokens of the prompts of accepted requests.
    public var promptTokens = 0
    /// How often a request lost its rows to older ones.
    public var preemptions = 0
    public var acceptedRequests = 0
    public var finishedRequests = 0
    public var cancelledRequests = 0
    public var failedRequests = 0
    /// Time spent in steps, and the part of it that the model took.
    public var stepTime: Duration = .zero
    public var modelTime: Duration = .zero
}
