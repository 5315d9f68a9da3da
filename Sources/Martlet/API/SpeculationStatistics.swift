/// What speculative decoding has done.
public struct SpeculationStatistics: Sendable, Hashable {
    /// How often a request's step had a draft.
    public var drafts = 0
    /// Tokens of all drafts, and how many of them became part of answers.
    public var draftTokens = 0
    public var acceptedTokens = 0

    public init() {}

    /// The share of draft tokens that came true; nil before the first.
    public var acceptanceRate: Double? { draftTokens > 0 ? Double(acceptedTokens) / Double(draftTokens) : nil }
    /// Tokens that a step with a draft gave; nil before the first.
    public var meanAcceptanceLength: Double? { drafts > 0 ? 1 + Double(acceptedTokens) / Double(drafts) : nil }
}
