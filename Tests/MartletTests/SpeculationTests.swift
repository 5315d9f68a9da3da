import MartletGraph
import TestSupport
import Testing

@testable import Martlet

/// Guesses change the time an answer takes, and nothing else.
@Suite struct SpeculationTests {
    /// Guesses right, but for some tokens that it makes up.
    final class CorruptingProposer: DraftProposer {
        private let base: DraftModelProposer
        private var generator = TestGenerator(seed: 9)

        init(_ model: FakeModel) { base = DraftModelProposerTests.proposer(model) }

        func begin(_ id: RequestID, tokens: [Int32]) { base.begin(id, tokens: tokens) }
        func append(_ token: Int32, to id: RequestID) { base.append(token, to: id) }
        func end(_ id: RequestID) { base.end(id) }

        func propose(_ drafts: inout [Draft], price: DraftPrice, sampling: (RequestID) -> SamplingState?) {
            base.propose(&drafts, price: price, sampling: sampling)
            for index in drafts.indices {
                for place in drafts[index].tokens.indices where generator.below(6) == 0 {
                    drafts[index].tokens[place] = Int32(generator.below(FakeModel.vocabularySize))
                }
            }
        }
    }

    /// The configurations of the equality tests, with guesses of which many are right and many wrong.
    @Test(arguments: EngineEqualityTests.configurations)
    func answersAreThoseWithoutGuesses(_ configuration: EngineEqualityTests.Configuration) async throws {
        let model = FakeModel(rowCount: configuration.rowCount, sampledRows: 64)
        var options = EngineOptions()
        options.maxBatchedTokens = configuration.maxBatchedTokens
        options.maxRequests = configuration.maxRequests
        options.prefillChunk = configuration.prefillChunk
        options.cachesPrefixes = configuration.cachesPrefixes
        options.maxDraftTokens = 5
        options.alwaysSpeculates = true
        if configuration.preempts != false { options.assumedAnswerTokens = 0 }
        let draftModel = FakeModel(rowCount: 1500)
        let engine = try LLMEngine(
            model.runner, contextLength: EngineEqualityTests.contextLength, endTokens: [FakeModel.endToken],
            options: options, proposer: CorruptingProposer(draftModel))
        var streams: [AsyncThrowingStream<RequestOutput, any Error>] = []
        var answers: [Answer] = []
        for request in EngineEqualityTests.requests {
            let stream = try await engine.submit(request)
            if configuration.isSolo { answers.append(try await Answer(stream)) } else { streams.append(stream) }
        }
        for stream in streams { answers.append(try await Answer(stream)) }
        #expect(answers == EngineEqualityTests.expected)
        #expect(model.faults == [] && draftModel.faults == [])
        let statistics = await engine.statistics
        let speculation = try #require(statistics.speculation)
        #expect(statistics.generatedTokens == EngineEqualityTests.expected.reduce(0) { $0 + $1.tokens.count })
        #expect(statistics.usedCacheRows == 0)
        #expect(await engine.cacheViolations == [])
        // A small budget has little room for guesses, and one of a single token none.
        guard configuration.maxBatchedTokens > 1 else { return }
        #expect(speculation.acceptedTokens > (configuration.maxBatchedTokens > 16 ? 50 : 0))
        #expect(speculation.acceptedTokens < speculation.draftTokens)
    }

    @Test func stopStringsAndPenaltiesActAsWithoutGuesses() async throws {
        func answer(_ proposes: Bool) async throws -> [Answer] {
            var options = EngineOptions()
            options.alwaysSpeculates = true
            let engine = try LLMEngine(
                FakeModel(rowCount: 1000, sampledRows: 40).runner, contextLength: 200, endTokens: [FakeModel.endToken],
                options: options, proposer: proposes ? CorruptingProposer(FakeModel(rowCount: 1000)) : nil)
            var answers: [Answer] = []
            for seed in 0..<30 as Range<UInt64> {
                var parameters = SamplingParameters()
                parameters.maxTokens = 60
                parameters.minTokens = Int(seed)
                parameters.seed = seed
                parameters.stop = ["ab", "q", "xyz"]
                parameters.includeStopString = seed % 2 == 0
                parameters.frequencyPenalty = 0.7
                parameters.repetitionPenalty = 1.2
                parameters.stopTokenIDs = [5, 9]
                parameters.logitBias = [7: 3]
                parameters.badWords = ["x"]
                var request = EngineRequest([1, 2, 3], parameters)
                request.badWords = [[7, 7], [11]]
                answers.append(try await Answer(engine.submit(request)))
            }
            // Requests that a stop string ended give their rows back before the next step.
            await engine.drain()
            let statistics = await engine.statistics
            if proposes { #expect(statistics.speculation?.acceptedTokens ?? 0 > 100) }
            #expect(statistics.usedCacheRows == 0)
            return answers
        }
        let expected = try await answer(false)
        #expect(try await answer(true) == expected)
        #expect(expected.contains { $0.reason == .stop && $0.tokens.count > 10 })
    }

    /// Steps get fewer: that is what it is for.
    @Test func rightGuessesSaveSteps() async throws {
        func steps(_ proposer: sending (any DraftProposer)?) async throws -> Int {
            var options = EngineOptions()
            options.alwaysSpeculates = true
            options.maxDraftTokens = 4
            let engine = try LLMEngine(
                FakeModel(rowCount: 1000, sampledRows: 40).runner, contextLength: 200, endTokens: [FakeModel.endToken],
                options: options, proposer: proposer)
            let parameters = LLMEngineTests.parameters(maxTokens: 101)
            #expect(try await Answer(engine.submit(EngineRequest([1, 2, 3], parameters))).tokens.count == 101)
            return await engine.statistics.steps
        }
        let without = try await steps(nil)
        let with = try await steps(DraftModelProposerTests.proposer(FakeModel(rowCount: 1000)))
        #expect(without == 101 && with == 21)
    }
}

/// On the real model: token ids equal, and log-probabilities equal to the bit.
@Suite(.enabled(if: SmolLM2.isPresent, Comment(rawValue: SmolLM2.absence)), .serialized)
struct SpeculationEqualityTests {
    /// Prompts that the answer repeats, and prompts that it doesn't.
    static func requests() throws -> [EngineRequest] {
        let ids = try SmolLM2.Reference.load().ids
        return (0..<100).flatMap { index in
            let start = index * 9
            // The second half begins again with what stands at its start, for there to be something to find.
            var prompt = Array(ids[start..<start + 24 + index % 5])
            if index >= 50 { prompt += prompt.prefix(9) }
            return [Float(0), 0.8].map { temperature in
                var parameters = SamplingParameters()
                parameters.maxTokens = 8
                parameters.ignoreEOS = true
                parameters.temperature = temperature
                parameters.seed = UInt64(index)
                parameters.logprobs = 2
                if index % 10 == 0 { parameters.repetitionPenalty = 1.1 }
                return EngineRequest(prompt, parameters)
            }
        }
    }

    static func outcomes(
        _ model: SmolLM2.Shared, _ proposer: sending (any DraftProposer)?
    ) async throws -> ([ServingEqualityTests.Outcome], EngineStatistics) {
        var options = EngineOptions()
        options.maxQueuedRequests = 1000
        options.alwaysSpeculates = true
        options.maxDraftTokens = 4
        let engine = try LLMEngine(
            model.runner, contextLength: model.contextLength, endTokens: [SmolLM2.endToken], options: options,
            proposer: proposer)
        var streams: [AsyncThrowingStream<RequestOutput, any Error>] = []
        for request in try requests() { streams.append(try await engine.submit(request)) }
        var outcomes: [ServingEqualityTests.Outcome] = []
        for stream in streams { outcomes.append(try await .init(stream)) }
        #expect(await engine.cacheViolations == [])
        let statistics = await engine.statistics
        #expect(statistics.usedCacheRows == 0)
        return (outcomes, statistics)
    }

    @Test(.timeLimit(.minutes(5))) func answersNeverDependOnGuesses() async throws {
        let model = SmolLM2.Shared(
            try SmolLM2.load { ($0.threads, $0.maxRequests, $0.maxSampledRows) = (2, 16, 80) })
        let (expected, _) = try await Self.outcomes(model, nil)
        #expect(expected.allSatisfy { $0.tokens.count == 8 })

        let (ngram, ngramStatistics) = try await Self.outcomes(model, NGramProposer())
        #expect(ngram == expected)
        let ngramGuesses = try #require(ngramStatistics.speculation)
        #expect(ngramGuesses.acceptedTokens > 20)
        #expect(ngramGuesses.acceptedTokens < ngramGuesses.draftTokens)

        // The same weights with other arithmetic: a draft model that is nearly always right.
        let draft = SmolLM2.Shared(
            try SmolLM2.load {
                ($0.threads, $0.maxRequests, $0.maxSampledRows, $0.compute) = (2, 16, nil, .int8)
            })
        let (drafted, statistics) = try await Self.outcomes(model, draft.draftProposer)
        #expect(drafted == expected)
        let guesses = try #require(statistics.speculation)
        #expect(guesses.acceptedTokens > guesses.draftTokens / 2)
        #expect(guesses.acceptedTokens < guesses.draftTokens)
    }
}

extension SmolLM2.Shared {
    /// A proposer for a target with the same vocabulary.
    fileprivate var draftProposer: DraftModelProposer {
        DraftModelProposer(
            limits: runner.limits, rowCount: runner.rowCount, contextLength: contextLength,
            vocabularySize: runner.vocabularySize, targetVocabularySize: runner.vocabularySize, compute: run)
    }
}
