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
    @Option(help: "Choose among the tokens nearest to the expected surprise that make up this probability.")
    var typicalP: Float = 1
    @Option(help: "How often all tokens that reach --xtc-threshold but the least likely are left out (XTC).")
    var xtcProbability: Float = 0
    @Option(help: "The probability of a top choice for XTC.")
    var xtcThreshold: Float = 0.1
    @Option(help: "Make tokens that were there before less likely; 1 does nothing. Default: the model's, or 1.")
    var repetitionPenalty: Float?
    @Option(help: "Subtract this from the logits of tokens that the answer has.")
    var presencePenalty: Float = 0
    @Option(help: "Subtract this from a token's logit for each time that the answer has it.")
    var frequencyPenalty: Float = 0
    @Option(help: "A word that the answer must not have; may be given several times.")
    var badWord: [String] = []
    @Option(help: "Makes random choices repeatable.")
    var seed: UInt64?
    @Option(help: "End the answer before this text; may be given several times.")
    var stop: [String] = []
    @Option(help: "End the answer with this token; may be given several times.")
    var stopTokenID: [Int] = []
    @Option(help: "Don't end the answer before this many tokens.")
    var minTokens = 0
    @Flag(name: .customLong("ignore-eos"), help: "Go on after the model's end-of-sequence tokens.")
    var ignoreEOS = false

    /// - Throws: `EngineError` for values out of range.
    func parameters(_ defaults: ModelConfiguration.GenerationDefaults) throws -> SamplingParameters {
        var parameters = SamplingParameters()
        parameters.maxTokens = maxTokens
        parameters.temperature = temperature ?? defaults.temperature.map(Float.init) ?? 0.7
        parameters.topP = topP ?? defaults.topP.map(Float.init) ?? 0.95
        parameters.topK = topK ?? defaults.topK ?? 0
        parameters.minP = minP ?? defaults.minP.map(Float.init) ?? 0.05
        parameters.repetitionPenalty = repetitionPenalty ?? defaults.repetitionPenalty.map(Float.init) ?? 1
        parameters.typicalP = typicalP
        parameters.xtcProbability = xtcProbability
        parameters.xtcThreshold = xtcThreshold
        parameters.presencePenalty = presencePenalty
        parameters.frequencyPenalty = frequencyPenalty
        parameters.badWords = badWord
        parameters.seed = seed
        parameters.stop = stop
        parameters.stopTokenIDs = stopTokenID
        parameters.minTokens = minTokens
        parameters.ignoreEOS = ignoreEOS
        try parameters.validate()
        return parameters
    }
}
