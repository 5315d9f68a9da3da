/// What the engine thread hands over for one token; text is made of it elsewhere.
struct TokenEvent: Sendable {
    var sample: SampledToken
    /// Not nil when the engine is done with the request.
    var finishReason: FinishReason?
    /// When the request's first token was part of a step.
    var admitted: ContinuousClock.Instant
    /// When this token was drawn.
    var drawn: ContinuousClock.Instant
}
