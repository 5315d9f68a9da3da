import Foundation
import MartletGraph
import TestSupport
import Testing

@testable import Martlet

/// Log-probabilities of the prompt's own tokens.
@Suite struct PromptLogprobsTests {
    static let prompts: [[Int32]] = {
        var generator = TestGenerator(seed: 12)
        return (0..<12).map { index in
            // Every other one begins like the one before it.
            (0..<1 + 7 * index).map { _ in Int32(1 + generator.below(60)) }
        }
    }()

    static func parameters(_ alternatives: Int) -> SamplingParameters {
        var parameters = LLMEngineTests.parameters(maxTokens: 10)
        parameters.promptLogprobs = alternatives
        // They are the model's own.
        parameters.temperature = 0.3
        parameters.logitBias = [5: 9]
        return parameters
    }

    static func expected(_ prompt: [Int32], alternatives: Int) -> [TokenLogprobs] {
        prompt.indices.dropFirst().map { position in
            var logits = Array(repeating: Float(0), count: FakeModel.vocabularySize)
            logits.withUnsafeMutableBufferPointer { FakeModel.fill($0, Array(prompt[..<position])) }
            let sum = log(logits.reduce(0.0) { $0 + exp(Double($1)) })
            func logprob(_ token: Int) -> Float { Float(Double(logits[token]) - sum) }
            let order = logits.indices.sorted { logits[$0] > logits[$1] }
            return TokenLogprobs(
                tokenID: Int(prompt[position]), logprob: logprob(Int(prompt[position])),
                top: order.prefix(alternatives).map { .init(tokenID: $0, logprob: logprob($0)) })
        }
    }

    /// Few rows of logits, small chunks, a pool that runs out, cached prefixes, guesses: every token has its own value once.
    @Test(arguments: [(16, 512, 4000), (17, 512, 4000), (80, 7, 4000), (80, 512, 180), (20, 512, 180)])
    func everyTokenOfThePromptHasOne(sampledRows: Int, budget: Int, rowCount: Int) async throws {
        let model = FakeModel(rowCount: rowCount, sampledRows: sampledRows)
        var options = EngineOptions()
        options.maxBatchedTokens = budget
        options.assumedAnswerTokens = 0
        options.alwaysSpeculates = true
        let engine = try LLMEngine(
            model.runner, contextLength: 150, endTokens: [FakeModel.endToken], options: options,
            proposer: DraftModelProposerTests.proposer(FakeModel(rowCount: 1000)))
        var streams: [AsyncThrowingStream<RequestOutput, any Error>] = []
        for _ in 0..<2 {
            for (index, prompt) in Self.prompts.enumerated() {
                streams.append(try await engine.submit(EngineRequest(prompt, Self.parameters(index % 4))))
            }
        }
        for (place, stream) in streams.enumerated() {
            let index = place % Self.prompts.count
            var outputs: [RequestOutput] = []
            for try await output in stream { outputs.append(output) }
            let expected = Self.expected(Self.prompts[index], alternatives: index % 4)
            let found = try #require(outputs.first?.promptLogprobs)
            #expect(found.map(\.tokenID) == expected.map(\.tokenID))
            for (found, expected) in zip(found, expected) {
                // Logits up to 4 in single precision, whose steps there are 2.4e-7.
                #expect(abs(found.logprob - expected.logprob) < 1e-5)
                #expect(found.top.map(\.tokenID) == expected.top.map(\.tokenID))
            }
            #expect(outputs.dropFirst().allSatisfy { $0.promptLogprobs == nil })
            let answer = try FakeModel.expected(Self.prompts[index], Self.parameters(0), contextLength: 150)
            #expect(outputs.flatMap(\.tokenIDs) == answer.tokens)
        }
        #expect(model.faults == [])
        #expect(await engine.statistics.usedCacheRows == 0)
        #expect(await engine.cacheViolations == [])
    }

    @Test func onlyTheFirstOfSeveralAnswersHasThem() async throws {
        let engine = try LLMEngineTests.engine(FakeModel(rowCount: 1000, sampledRows: 30))
        var parameters = Self.parameters(1)
        parameters.n = 3
        var counts = [0, 0, 0]
        for try await output in try await engine.submit(EngineRequest([1, 2, 3, 4], parameters)) {
            counts[output.index] += output.promptLogprobs?.count ?? 0
        }
        #expect(counts == [3, 0, 0])
    }

    /// Whichever answer is the best, the prompt is the same.
    @Test func theBestOfSeveralAnswersHasThem() async throws {
        let engine = try LLMEngineTests.engine(FakeModel(rowCount: 1000, sampledRows: 30))
        var parameters = Self.parameters(1)
        (parameters.n, parameters.bestOf) = (2, 6)
        for seed in 0..<8 {
            parameters.seed = UInt64(100 * seed)
            var outputs: [RequestOutput] = []
            for try await output in try await engine.submit(EngineRequest([1, 2, 3, 4], parameters)) {
                outputs.append(output)
            }
            #expect(outputs.map { $0.promptLogprobs?.map(\.tokenID) } == [[2, 3, 4], nil], "seed \(seed)")
        }
    }

    @Test func aPromptThatGivesNaNFails() async throws {
        let engine = try LLMEngineTests.engine(FakeModel(rowCount: 1000, sampledRows: 30))
        let stream = try await engine.submit(EngineRequest([1, FakeModel.poison, 3], Self.parameters(1)))
        let error = await #expect(throws: EngineError.self) { try await Answer(stream) }
        #expect(error?.code == .samplingFailed)
    }
}
