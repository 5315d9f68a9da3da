import Martlet
import Testing

/// Several answers to one prompt.
@Suite struct ChoiceTests {
    static let prompt: [Int32] = [3, 1, 4, 1, 5]

    static func parameters(_ change: (inout SamplingParameters) -> Void) -> SamplingParameters {
        var parameters = LLMEngineTests.parameters(maxTokens: 20)
        parameters.seed = 40
        change(&parameters)
        return parameters
    }

    static func outputs(_ engine: LLMEngine, _ parameters: SamplingParameters) async throws -> [RequestOutput] {
        var outputs: [RequestOutput] = []
        for try await output in try await engine.submit(EngineRequest(prompt, parameters)) { outputs.append(output) }
        return outputs
    }

    /// Answer i is that of a request of its own with seed + i.
    @Test func everyChoiceIsAnAnswerWithASeedOfItsOwn() async throws {
        let engine = try LLMEngineTests.engine(FakeModel(rowCount: 1000))
        let outputs = try await Self.outputs(engine, Self.parameters { $0.n = 5 })
        #expect(Set(outputs.map(\.id)).count == 1)
        for index in 0..<5 {
            let parts = outputs.filter { $0.index == index }
            let expected = try FakeModel.expected(
                Self.prompt, Self.parameters { $0.seed = 40 + UInt64(index) }, contextLength: 1000)
            #expect(parts.flatMap(\.tokenIDs) == expected.tokens)
            #expect(parts.last?.finishReason == expected.reason)
            #expect(parts.last?.usage.generatedTokens == 20)
        }
        let statistics = await engine.statistics
        #expect(statistics.acceptedRequests == 5 && statistics.finishedRequests == 5)
        #expect(statistics.usedCacheRows == 0)
    }

    @Test func withoutASeedChoicesDiffer() async throws {
        let engine = try LLMEngineTests.engine(FakeModel(rowCount: 1000))
        let parameters = Self.parameters { ($0.n, $0.seed) = (8, nil) }
        let outputs = try await Self.outputs(engine, parameters)
        #expect(Set((0..<8).map { index in outputs.filter { $0.index == index }.flatMap(\.tokenIDs) }).count == 8)
    }

    @Test func theBestAreGivenInOrder() async throws {
        let engine = try LLMEngineTests.engine(FakeModel(rowCount: 1000))
        let all = try await Self.outputs(engine, Self.parameters { ($0.n, $0.logprobs) = (6, 0) })
        let sums = (0..<6).map { index in
            all.filter { $0.index == index }.reduce(0.0) { $0 + Double($1.logprobs?.first?.logprob ?? 0) }
        }
        for index in 0..<6 { #expect(all.last { $0.index == index }?.cumulativeLogprob == sums[index]) }
        let order = sums.indices.sorted { sums[$0] > sums[$1] }
        let best = try await Self.outputs(engine, Self.parameters { ($0.n, $0.bestOf) = (2, 6) })
        #expect(best.map(\.index) == [0, 1])
        #expect(best.map(\.cumulativeLogprob) == order.prefix(2).map { sums[$0] })
        for (answer, index) in zip(best, order) {
            #expect(answer.tokenIDs == all.filter { $0.index == index }.flatMap(\.tokenIDs))
            #expect(answer.text == all.filter { $0.index == index }.map(\.text).joined())
            #expect(answer.logprobs == nil, "nobody asked for them")
            #expect(answer.finishReason == .length)
        }
    }

    @Test(.timeLimit(.minutes(1))) func aCancelledRequestLosesAllChoices() async throws {
        let model = FakeModel(rowCount: 100_000)
        let engine = try LLMEngineTests.engine(model, contextLength: 100_000)
        let parameters = Self.parameters { ($0.n, $0.maxTokens) = (7, nil) }
        var reasons: [FinishReason] = []
        var count = 0
        for try await output in try await engine.submit(EngineRequest(Self.prompt, parameters)) {
            count += 1
            if count == 30 { engine.cancel(output.id) }
            if let reason = output.finishReason { reasons.append(reason) }
        }
        #expect(reasons == Array(repeating: .cancelled, count: 7))
        // And by its reader.
        for try await _ in try await engine.submit(EngineRequest(Self.prompt, parameters)) { break }
        try await LLMEngineTests.drained(engine)
        let statistics = await engine.statistics
        #expect(statistics.cancelledRequests == 14)
        #expect(statistics.usedCacheRows == 0)
        #expect(await engine.cacheViolations == [])
    }

    @Test(.timeLimit(.minutes(1))) func oneFailureEndsAllChoices() async throws {
        let model = FakeModel(rowCount: 10_000)
        let engine = try LLMEngineTests.engine(model, contextLength: 10_000)
        model.fail(step: 5)
        let parameters = Self.parameters { ($0.n, $0.maxTokens) = (3, nil) }
        let error = await #expect(throws: EngineError.self) { try await Self.outputs(engine, parameters) }
        #expect(error?.code == .stepFailed)
        try await LLMEngineTests.drained(engine)
        #expect(await engine.statistics.usedCacheRows == 0)
    }

    @Test func choicesAreAcceptedTogetherOrNotAtAll() async throws {
        let model = FakeModel(rowCount: 1000)
        var options = EngineOptions()
        options.maxRequests = 1
        options.maxQueuedRequests = 4
        let engine = try LLMEngineTests.engine(model, options: options)
        let error = await #expect(throws: EngineError.self) {
            try await engine.submit(EngineRequest(Self.prompt, Self.parameters { $0.n = 6 }))
        }
        #expect(error?.code == .queueFull)
        let statistics = await engine.statistics
        #expect(statistics.acceptedRequests == 0)
        #expect(statistics.runningRequests == 0 && statistics.waitingRequests == 0)
        #expect(try await Self.outputs(engine, Self.parameters { $0.n = 5 }).count == 100)
    }
}
