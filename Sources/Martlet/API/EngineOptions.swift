/// How the engine shares its model among requests.
public struct EngineOptions: Sendable, Hashable {
    /// Tokens of all requests together in one step; nil for as many as the model was loaded for.
    public var maxBatchedTokens: Int?
    /// Requests that run at the same time; nil for as many as the model was loaded for.
    public var maxRequests: Int?
    /// Requests that wait; beyond that, requests are refused.
    public var maxQueuedRequests = 256
    /// Prompt tokens of one request in one step; nil for all that fit. Smaller chunks let other requests' tokens come sooner.
    public var prefillChunk: Int?
    /// Makes the seeds of requests that bring none repeatable, by their order of arrival; nil draws them at random.
    public var seed: UInt64?

    public init() {}

    /// - Throws: `invalidParameter`, naming the field.
    public func validate() throws(EngineError) {
        for (name, value) in [
            ("maxBatchedTokens", maxBatchedTokens), ("maxRequests", maxRequests),
            ("maxQueuedRequests", maxQueuedRequests), ("prefillChunk", prefillChunk),
        ] {
            if let value, value < 1 { throw .invalid(name, "must be at least 1, not \(value)") }
        }
    }
}
