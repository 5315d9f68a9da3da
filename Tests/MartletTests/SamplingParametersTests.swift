import Martlet
import Testing

@Suite struct SamplingParametersTests {
    static let refused: [(String, @Sendable (inout SamplingParameters) -> Void)] = [
        ("n", { $0.n = 0 }),
        ("n", { $0.n = 129 }),
        ("bestOf", { $0.bestOf = 0 }),
        ("bestOf", { ($0.n, $0.bestOf) = (3, 2) }),
        ("bestOf", { $0.bestOf = 129 }),
        ("maxTokens", { $0.maxTokens = 0 }),
        ("maxTokens", { $0.maxTokens = -1 }),
        ("minTokens", { $0.minTokens = -1 }),
        ("minTokens", { ($0.minTokens, $0.maxTokens) = (5, 4) }),
        ("temperature", { $0.temperature = -0.1 }),
        ("temperature", { $0.temperature = .nan }),
        ("temperature", { $0.temperature = .infinity }),
        ("topK", { $0.topK = -2 }),
        ("topP", { $0.topP = 0 }),
        ("topP", { $0.topP = 1.1 }),
        ("topP", { $0.topP = .nan }),
        ("minP", { $0.minP = -0.1 }),
        ("minP", { $0.minP = 1.1 }),
        ("minP", { $0.minP = .nan }),
        ("typicalP", { $0.typicalP = 0 }),
        ("typicalP", { $0.typicalP = 1.1 }),
        ("typicalP", { $0.typicalP = .nan }),
        ("xtcProbability", { $0.xtcProbability = -0.1 }),
        ("xtcProbability", { $0.xtcProbability = .nan }),
        ("xtcThreshold", { $0.xtcThreshold = 1.1 }),
        ("xtcThreshold", { $0.xtcThreshold = .nan }),
        ("allowedTokenIDs", { $0.allowedTokenIDs = [] }),
        ("allowedTokenIDs", { $0.allowedTokenIDs = [-1] }),
        ("allowedTokenIDs", { $0.allowedTokenIDs = [5, 100] }),
        ("badWords", { $0.badWords = [" "] }),
        ("badWords", { $0.badWords = Array(repeating: "x", count: 257) }),
        ("badWords", { $0.badWords = [String(repeating: "x", count: 1025)] }),
        ("repetitionPenalty", { $0.repetitionPenalty = 0 }),
        ("repetitionPenalty", { $0.repetitionPenalty = -1 }),
        // Logits would not be finite.
        ("repetitionPenalty", { $0.repetitionPenalty = 1e-38 }), ("repetitionPenalty", { $0.repetitionPenalty = 101 }),
        ("repetitionPenalty", { $0.repetitionPenalty = .infinity }),
        ("repetitionPenalty", { $0.repetitionPenalty = .nan }),
        ("presencePenalty", { $0.presencePenalty = 2.1 }),
        ("presencePenalty", { $0.presencePenalty = .nan }),
        ("frequencyPenalty", { $0.frequencyPenalty = -2.1 }),
        ("frequencyPenalty", { $0.frequencyPenalty = -.infinity }),
        ("logitBias", { $0.logitBias = [-1: 1] }),
        ("logitBias", { $0.logitBias = [100: 1] }),
        ("logitBias", { $0.logitBias = [1: 101] }),
        ("logitBias", { $0.logitBias = [1: .nan] }),
        ("stop", { $0.stop = [""] }),
        ("stop", { $0.stop = Array(repeating: "x", count: 65) }),
        ("stop", { $0.stop = [String(repeating: "x", count: 5000)] }),
        ("stopTokenIDs", { $0.stopTokenIDs = [-1] }),
        ("stopTokenIDs", { $0.stopTokenIDs = [100] }),
        ("logprobs", { $0.logprobs = -1 }),
        ("logprobs", { $0.logprobs = 21 }),
        ("promptLogprobs", { $0.promptLogprobs = -1 }),
        ("promptLogprobs", { $0.promptLogprobs = 21 }),
    ]

    @Test(arguments: refused.indices) func aBadFieldIsNamed(index: Int) {
        var parameters = SamplingParameters()
        Self.refused[index].1(&parameters)
        let error = #expect(throws: EngineError.self) { try parameters.validate(vocabularySize: 100) }
        #expect(error?.code == .invalidParameter)
        #expect(error?.parameter == Self.refused[index].0)
        #expect(error?.message.hasPrefix(Self.refused[index].0) == true)
    }

    @Test func goodParametersPass() throws {
        try SamplingParameters().validate(vocabularySize: 1)
        var parameters = SamplingParameters()
        parameters.n = 128
        parameters.bestOf = 128
        parameters.maxTokens = 1
        parameters.minTokens = 1
        parameters.temperature = 0
        parameters.topK = -1
        parameters.topP = 1e-9
        parameters.minP = 1
        parameters.repetitionPenalty = 0.1
        parameters.presencePenalty = -2
        parameters.frequencyPenalty = 2
        parameters.logitBias = [0: -100, 99: 100]
        parameters.typicalP = 1e-9
        parameters.xtcProbability = 1
        parameters.xtcThreshold = 0
        parameters.allowedTokenIDs = [0, 99, 0]
        parameters.badWords = ["x"]
        parameters.stop = ["\n"]
        parameters.stopTokenIDs = [0, 99]
        parameters.logprobs = 20
        try parameters.validate(vocabularySize: 100)
    }
}
