package import MartletGrammar
package import MartletGraph

/// A request as the engine takes it: tokenized, and with what turns its answer into text.
package struct EngineRequest: Sendable {
    package var prompt: [Int32]
    /// Rows for the prompt's image tokens, whose ids are below zero.
    package var features: TokenFeatures?
    package var parameters: SamplingParameters
    package var options: RequestOptions
    /// The token sequences that spell `parameters.badWords`.
    package var badWords: [[Int32]]
    /// `parameters.structure`, compiled.
    package var matcher: GrammarMatcher?
    package var decoder: any TokenDecoder

    package init(
        prompt: [Int32], parameters: SamplingParameters, options: RequestOptions = .init(), badWords: [[Int32]] = [],
        decoder: any TokenDecoder
    ) {
        self.prompt = prompt
        self.parameters = parameters
        self.options = options
        self.badWords = badWords
        self.decoder = decoder
    }
}
