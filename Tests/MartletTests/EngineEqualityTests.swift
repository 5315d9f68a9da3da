import Martlet
import TestSupport
import Testing

/// The same requests give the same tokens, whatever the engine does with them.
@Suite struct EngineEqualityTests {
    struct Configuration: Sendable, CustomTestStringConvertible {
        var name: String
        var rowCount = 4096
        var maxBatchedTokens = 512
        var maxRequests = 16
        var prefillChunk: Int?
        /// Requests come one after the other, each when the last is done.
        var isSolo = false
        /// Requests come after random numbers of steps.
        var arrivesAtRandom = false
        /// Requests begin with the same tokens, so most of their prompts are cached.
        var sharesPrefixes = false
        var cachesPrefixes = true
        /// Whether rows must run out; nil where that is up to chance.
        var preempts: Bool? = false

        var testDescription: String { name }
    }

    static let contextLength = 150

    static let configurations: [Configuration] = [
        .init(name: "solo", isSolo: true),
        .init(name: "solo, one token a step", maxBatchedTokens: 1, isSolo: true),
        .init(name: "batch of 16"),
        .init(name: "batch of 3", maxRequests: 3),
        .init(name: "budget 1", maxBatchedTokens: 1),
        .init(name: "budget 7", maxBatchedTokens: 7),
        .init(name: "budget 64", maxBatchedTokens: 64),
        .init(name: "chunks of 5", prefillChunk: 5),
        .init(name: "random arrivals", maxBatchedTokens: 64, arrivesAtRandom: true),
        .init(name: "no prefix cache", cachesPrefixes: false),
        .init(name: "common prefixes", maxBatchedTokens: 64, sharesPrefixes: true),
        .init(name: "common prefixes, solo", isSolo: true, sharesPrefixes: true),
        .init(
            name: "common prefixes, random arrivals", maxBatchedTokens: 64, prefillChunk: 9, arrivesAtRandom: true,
            sharesPrefixes: true),
        .init(name: "common prefixes, preemption", rowCount: 160, sharesPrefixes: true, preempts: true),
        .init(name: "preemption, no prefix cache", rowCount: 200, cachesPrefixes: false, preempts: true),
        .init(name: "preemption", rowCount: 200, preempts: true),
        .init(name: "preemption, budget 7", rowCount: 160, maxBatchedTokens: 7, preempts: true),
        .init(
            name: "preemption, random arrivals", rowCount: 170, maxBatchedTokens: 64, prefillChunk: 9,
            arrivesAtRandom: true, preempts: nil),
    ]

    static let requests = makeRequests(prefix: [])
    static let relatedRequests = makeRequests(prefix: (0..<60).map { 1 + $0 * $0 % 61 })

    /// - Parameter prefix: each prompt begins with a part of it.
    private static func makeRequests(prefix: [Int32]) -> [EngineRequest] {
        var generator = TestGenerator(seed: 2024)
        return (0..<40).map { index in
            var parameters = SamplingParameters()
            parameters.maxTokens = 1 + generator.below(60)
            parameters.ignoreEOS = index % 5 != 0
            parameters.temperature = index % 2 == 0 ? 0 : 0.8
            parameters.seed = generator.next()
            if index % 3 == 0 { parameters.repetitionPenalty = 1.3 }
            if index % 4 == 0 { parameters.topK = 10 }
            if index % 7 == 0 { parameters.topP = 0.9 }
            if index % 8 == 0 { parameters.minTokens = min(5, parameters.maxTokens ?? 0) }
            let prompt = (0..<1 + generator.below(80)).map { _ in Int32(1 + generator.below(62)) }
            return EngineRequest(Array(prefix.prefix(10 * (index % 7))) + prompt, parameters)
        }
    }

    static let expected = requests.map(answer)
    static let relatedExpected = relatedRequests.map(answer)

    private static func answer(_ request: EngineRequest) -> Answer {
        guard
            let (tokens, reason) = try? FakeModel.expected(
                request.prompt, request.parameters, contextLength: contextLength)
        else { return Answer() }
        let words = reason == .stop ? tokens.dropLast() : tokens[...]
        return Answer(text: words.map(FakeDecoder.spelling).joined(), tokens: tokens, reason: reason)
    }

    @Test(arguments: configurations) func answersAreThoseOfEachRequestAlone(_ configuration: Configuration) async throws
    {
        let model = FakeModel(rowCount: configuration.rowCount)
        var options = EngineOptions()
        options.maxBatchedTokens = configuration.maxBatchedTokens
        options.maxRequests = configuration.maxRequests
        options.prefillChunk = configuration.prefillChunk
        options.cachesPrefixes = configuration.cachesPrefixes
        // Bold: rows are set aside for a prompt only.
        if configuration.preempts != false { options.assumedAnswerTokens = 0 }
        let requests = configuration.sharesPrefixes ? Self.relatedRequests : Self.requests
        let expected = configuration.sharesPrefixes ? Self.relatedExpected : Self.expected
        let engine = try LLMEngine(
            model.runner, contextLength: Self.contextLength, endTokens: [FakeModel.endToken], options: options)

        var answers: [Answer] = []
        if configuration.isSolo {
            for request in requests { answers.append(try await Answer(engine.submit(request))) }
        } else if configuration.arrivesAtRandom {
            var generator = TestGenerator(seed: 7)
            var tasks: [Task<Answer, any Error>] = []
            for request in requests {
                let start = await engine.statistics.steps
                let wait = generator.below(20)
                while await engine.statistics.steps < start + wait, await engine.statistics.runningRequests > 0 {
                    await Task.yield()
                }
                let stream = try await engine.submit(request)
                tasks.append(Task { try await Answer(stream) })
            }
            for task in tasks { answers.append(try await task.value) }
        } else {
            for stream in try await engine.submitTogether(requests) { answers.append(try await Answer(stream)) }
        }
        #expect(answers == expected)
        #expect(model.faults == [])
        let statistics = await engine.statistics
        #expect(statistics.usedCacheRows == 0)
        #expect(statistics.finishedRequests == requests.count)
        #expect(!configuration.sharesPrefixes || statistics.prefixCacheHits > 400)
        #expect(statistics.generatedTokens == expected.reduce(0) { $0 + $1.tokens.count })
        if let preempts = configuration.preempts { #expect((statistics.preemptions > 0) == preempts) }
        #expect(await engine.cacheViolations == [])
    }

    @Test func theReferenceIsWorthSomething() {
        // Long answers, short ones, both ends, and no two alike.
        #expect(Self.expected.contains { $0.reason == .stop } && Self.expected.contains { $0.reason == .length })
        #expect(Set(Self.expected.map(\.tokens)).count == Self.expected.count)
        #expect(Self.expected.contains { $0.tokens.count > 40 })
    }
}

extension LLMEngine {
    /// Queues requests with no step between them.
    func submitTogether(
        _ requests: [EngineRequest]
    ) throws(EngineError) -> [AsyncThrowingStream<RequestOutput, any Error>] {
        var streams: [AsyncThrowingStream<RequestOutput, any Error>] = []
        for request in requests { streams.append(try submit(request)) }
        return streams
    }
}
