/// The log-probabilities of a prompt's tokens, as far as they are computed. The first token has none.
struct PromptLogprobs {
    let alternatives: Int
    var tokens: [SampledToken] = []
    /// Why one could not be computed.
    var failure: EngineError?

    init(alternatives: Int) {
        self.alternatives = alternatives
    }
}
