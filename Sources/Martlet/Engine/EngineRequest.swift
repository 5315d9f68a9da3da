/// A request as the engine takes it: tokenized, and with what turns its answer into text.
package struct EngineRequest: Sendable {
    package var prompt: [Int32]
    package var parameters: SamplingParameters
    package var options: RequestOptions
    package var decoder: any TokenDecoder

    package init(
        prompt: [Int32], parameters: SamplingParameters, options: RequestOptions = .init(), decoder: any TokenDecoder
    ) {
        self.prompt = prompt
        self.parameters = parameters
        self.options = options
        self.decoder = decoder
    }
}
