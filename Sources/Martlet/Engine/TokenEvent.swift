/// What the engine thread hands over for one token; text is made of it elsewhere.
package struct TokenEvent: Sendable {
    package var sample: SampledToken
    /// With the first token, when asked for: the prompt's tokens but the first, as if they had been drawn.
    package var prompt: [SampledToken]?
    /// Not nil when the engine is done with the request.
    package var finishReason: FinishReason?
    /// When the request's first token was part of a step.
    package var admitted: ContinuousClock.Instant
    /// When this token was drawn.
    package var drawn: ContinuousClock.Instant
    /// Prompt tokens of the request that were computed before.
    package var cachedTokens: Int

    package init(
        sample: SampledToken, prompt: [SampledToken]? = nil, finishReason: FinishReason?,
        admitted: ContinuousClock.Instant, drawn: ContinuousClock.Instant, cachedTokens: Int = 0
    ) {
        self.sample = sample
        self.prompt = prompt
        self.finishReason = finishReason
        self.admitted = admitted
        self.drawn = drawn
        self.cachedTokens = cachedTokens
    }
}
