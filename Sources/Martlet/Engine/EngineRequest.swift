/// A request as the engine takes it: tokenized, and with what turns its answer into text.
package struct EngineRequest: Sendable {
    package var prompt: [Int32]
    package var parameters: SamplingParameters
    package var decoder: any TokenDecoder

    package init(prompt: [Int32], parameters: SamplingParameters, decoder: any TokenDecoder) {
        self.prompt = prompt
        self.parameters = parameters
        self.decoder = decoder
    }
}
