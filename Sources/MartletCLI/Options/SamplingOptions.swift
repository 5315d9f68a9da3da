import ArgumentParser
import Martlet
import MartletCheckpoints

/// How answers are chosen. What is not given comes from the model's makers, and where they say nothing from below.
struct SamplingOptions: ParsableArguments {
    @Option(help: "Tokens to generate at most. Default: what the context has room for.")
    var maxTokens: Int?
    @Option(help: "Randomness: 0 always takes the most likely token. Default: the model's, or 0.7.")
    var temperature: Float?
    @Option(help: "Choose among the most likely tokens that make up this probability. Default: the model's, or 0.95.")
    var topP: Float?
    @Option(help: "Choose among this many most likely tokens; 0 for all. Default: the model's, or 0.")
    var topK: Int?
    @Option(help: "Leave out tokens below this fraction of the best one's probability. Default: the model's, or 0.05.")
    var minP: Float?
    @Option(help: "Make tokens that were there before less likely; 1 does nothing. Default: the model's, or 1.")
    var repetitionPenalty: Float?
    @Option(help: "Makes random choices repeatable.")
    var seed: UInt64?
    @Option(help: "End the answer before this text; may be given several times.")
    var stop: [String] = []

    /// - Throws: `EngineError` for values out of range.
    func parameters(_ defaults: ModelConfiguration.GenerationDefaults) throws -> SamplingParameters {
        var parameters = SamplingParameters()
        parameters.maxTokens = maxTokens
        parameters.temperature = temperature ?? defaults.temperature.map(Float.init) ?? 0.7
        parameters.topP = topP ?? defaults.topP.map(Float.init) ?? 0.95
        parameters.topK = topK ?? defaults.topK ?? 0
        parameters.minP = minP ?? defaults.minP.map(Float.init) ?? 0.05
        parameters.repetitionPenalty = repetitionPenalty ?? defaults.repetitionPenalty.map(Float.init) ?? 1
        parameters.seed = seed
        parameters.stop = stop
        try parameters.validate()
        return parameters
    }
}
