/// How the engine shares its model among requests.
public struct EngineOptions: Sendable, Hashable {
    /// Tokens of all requests together in one step; nil for as many as the model was loaded for.
    public var maxBatchedTokens: Int?
    /// Requests that run at the same time; nil for as many as the model was loaded for.
    public var maxRequests: Int?
    /// Requests that wait behind those that run or can begin at once; beyond that, requests are refused.
    public var maxQueuedRequests = 256
    /// Prompt tokens of all requests that wait, if only for the next step; beyond that, requests are refused.
    public var maxQueuedTokens = 1 << 20
    /// Prompt tokens of one request in one step; nil for all that fit. Smaller chunks let other requests' tokens come sooner.
    public var prefillChunk: Int?
    /// Time from one token of an answer to the next: prompts are cut into chunks so small that a step takes no longer, or
    /// twice as long as it takes without them, where that is more. Nil for no such bound.
    public var targetInterTokenLatency: Duration? = .milliseconds(100)
    /// Whether requests share the memory of common prefixes, and what was computed stays cached while there is room.
    public var cachesPrefixes = true
    /// Tokens of an answer that memory is set aside for when a request begins to run. Nil learns from the answers so far.
    /// Where it is too little, the newest requests are interrupted for a while.
    public var assumedAnswerTokens: Int?
    /// How tokens are guessed ahead, for the model to verify several in one step; nil guesses none. Answers are the same.
    public var speculation: Speculation?
    /// Tokens of one request that are guessed ahead, at most. As many as save time are; that is measured all the time.
    public var maxDraftTokens = 12
    /// Guesses as many as it may, whether that saves time or not: for tests.
    package var alwaysSpeculates = false
    /// Makes the seeds of requests that bring none repeatable, by their order of arrival; nil draws them at random.
    public var seed: UInt64?

    public init() {}

    /// - Throws: `invalidParameter`, naming the field.
    public func validate() throws(EngineError) {
        for (name, value) in [
            ("maxBatchedTokens", maxBatchedTokens), ("maxRequests", maxRequests),
            ("maxDraftTokens", maxDraftTokens), ("maxQueuedRequests", maxQueuedRequests),
            ("maxQueuedTokens", maxQueuedTokens),
            ("prefillChunk", prefillChunk),
        ] {
            if let value, value < 1 { throw .invalid(name, "must be at least 1, not \(value)") }
        }
        if let assumedAnswerTokens, assumedAnswerTokens < 0 {
            throw .invalid("assumedAnswerTokens", "must not be negative, but is \(assumedAnswerTokens)")
        }
        if let latency = targetInterTokenLatency, latency <= .zero {
            throw .invalid("targetInterTokenLatency", "must be positive, but is \(latency)")
        }
    }
}
