import Synchronization
import TestSupport
import Testing

@testable import Martlet

@Suite struct LLMEngineTests {
    static func engine(_ model: FakeModel, contextLength: Int = 1000, options: EngineOptions = .init()) throws
        -> LLMEngine
    {
        try LLMEngine(model.runner, contextLength: contextLength, endTokens: [FakeModel.endToken], options: options)
    }

    static func parameters(maxTokens: Int?) -> SamplingParameters {
        var parameters = SamplingParameters()
        parameters.maxTokens = maxTokens
        parameters.ignoreEOS = true
        parameters.seed = 1
        return parameters
    }

    /// Waits until no request is left; a test that waits for long fails by its time limit.
    static func drained(_ engine: LLMEngine) async throws {
        while true {
            let statistics = await engine.statistics
            if statistics.runningRequests == 0 && statistics.waitingRequests == 0 { return }
            try await Task.sleep(for: .microseconds(200))
        }
    }

    // MARK: Lists

    /// Draining takes the rest of a list that has begun, and waits for its end.
    @Test(.timeLimit(.minutes(1))) func drainingLetsListsComeToTheirEnd() async throws {
        let engine = try Self.engine(FakeModel(rowCount: 1000))
        let turn = SharedTurn()
        engine.lists.begin(turn)
        let request = Self.request(of: turn)
        for try await _ in try await engine.submit(request) {}
        let hasDrained = Mutex(false)
        let drain = Task {
            await engine.drain()
            hasDrained.withLock { $0 = true }
        }
        while let stream = try? await engine.submit(EngineRequest([3], Self.parameters(maxTokens: 1))) {
            for try await _ in stream {}
        }
        for try await _ in try await engine.submit(request) {}
        try await Task.sleep(for: .milliseconds(20))
        #expect(!hasDrained.withLock { $0 })
        // Nor does one begin now.
        let later = SharedTurn()
        engine.lists.begin(later)
        await #expect(throws: EngineError.self) { _ = try await engine.submit(Self.request(of: later)) }
        engine.endList(turn)
        await drain.value
        await #expect(throws: EngineError.self) { _ = try await engine.submit(request) }
    }

    @Test(.timeLimit(.minutes(1))) func shuttingDownEndsListsToo() async throws {
        let engine = try Self.engine(FakeModel(rowCount: 1000))
        let turn = SharedTurn()
        engine.lists.begin(turn)
        let drain = Task { await engine.drain() }
        await engine.shutdown()
        await drain.value
        await #expect(throws: EngineError.self) { _ = try await engine.submit(Self.request(of: turn)) }
    }

    private static func request(of turn: SharedTurn) -> EngineRequest {
        var request = EngineRequest([1, 2], parameters(maxTokens: 3))
        request.options.turn = turn
        return request
    }

    /// A prompt counts once it is computed, and not where its request only waited.
    @Test(.timeLimit(.minutes(1))) func promptsCountWithTheirFirstTokens() async throws {
        let model = FakeModel(rowCount: 100_000)
        var options = EngineOptions()
        options.maxRequests = 1
        let engine = try Self.engine(model, contextLength: 100_000, options: options)
        let first = try await engine.submit(EngineRequest([1, 2, 3], Self.parameters(maxTokens: nil)))
        var outputs = first.makeAsyncIterator()
        let id = try #require(try await outputs.next()?.id)
        let second = try await engine.submit(EngineRequest([4, 5], Self.parameters(maxTokens: 2)))
        var statistics = await engine.statistics
        #expect(statistics.acceptedRequests == 2 && statistics.waitingRequests == 1)
        #expect(statistics.promptTokens == 3)
        engine.cancel(id)
        for try await _ in second {}
        statistics = await engine.statistics
        #expect(statistics.promptTokens == 5)
    }

    // MARK: Cancellation

    @Test(.timeLimit(.minutes(1))) func aCancelledRequestIsNotInTheNextStep() async throws {
        let model = FakeModel(rowCount: 100_000)
        let engine = try Self.engine(model, contextLength: 100_000)
        let first = try await engine.submit(EngineRequest([1, 2, 3], Self.parameters(maxTokens: nil)))
        var outputs = first.makeAsyncIterator()
        let id = try #require(try await outputs.next()?.id)
        var second = try await engine.submit(EngineRequest([4, 5], Self.parameters(maxTokens: nil))).makeAsyncIterator()
        _ = try await second.next()

        // A step with both is under way when the first is cancelled; the one after it is without.
        try await model.block()
        engine.cancel(id)
        let steps = model.stepSizes.count
        #expect(model.stepSizes.last == 2)
        model.release()
        while model.stepSizes.count < steps + 10 { try await Task.sleep(for: .microseconds(100)) }
        let later = model.stepSizes.dropFirst(steps)
        #expect(later.allSatisfy { $0 == 1 })

        var last: RequestOutput?
        while let output = try await outputs.next() { last = output }
        #expect(last?.finishReason == .cancelled)
        let statistics = await engine.statistics
        #expect(statistics.runningRequests == 1)
        #expect(statistics.cancelledRequests == 1)
        await engine.shutdown()
        #expect(await engine.statistics.usedCacheRows == 0)
    }

    @Test(.timeLimit(.minutes(1))) func twoHundredCancellationsLeaveThePoolEmpty() async throws {
        let model = FakeModel(rowCount: 500)
        var options = EngineOptions()
        options.maxBatchedTokens = 40
        let engine = try Self.engine(model, contextLength: 400, options: options)
        var generator = TestGenerator(seed: 5)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<200 {
                let prompt = (0..<1 + generator.below(60)).map { _ in Int32(generator.below(60)) }
                let stopAfter = generator.below(30)
                group.addTask {
                    guard let stream = try? await engine.submit(EngineRequest(prompt, Self.parameters(maxTokens: 300)))
                    else { return }
                    switch index % 4 {
                    case 0:
                        // Stops reading.
                        var count = 0
                        for try await _ in stream {
                            count += 1
                            if count > stopAfter { break }
                        }
                    case 1:
                        // Never reads.
                        break
                    case 2:
                        // The task that reads is cancelled.
                        let reader = Task { for try await _ in stream {} }
                        try? await Task.sleep(for: .microseconds(stopAfter * 100))
                        reader.cancel()
                        try? await reader.value
                    default:
                        for try await output in stream {
                            engine.cancel(output.id)
                            engine.cancel(output.id)
                        }
                    }
                }
                if index % 20 == 19 { try await Self.drained(engine) }
            }
            try await group.waitForAll()
        }
        try await Self.drained(engine)
        let statistics = await engine.statistics
        #expect(statistics.acceptedRequests == 200)
        // One that is done before its cancellation arrives counts as finished: which ones is a matter of timing.
        #expect(statistics.cancelledRequests + statistics.finishedRequests == 200)
        #expect(statistics.cancelledRequests > 0)
        #expect(statistics.usedCacheRows == 0)
        #expect(await engine.cacheViolations == [])
        #expect(model.faults == [])
        await engine.clearPrefixCache()
        #expect(await engine.statistics.idleCacheRows == 0)
        // And it still works.
        let prompt: [Int32] = [3, 1, 4]
        let expected = try FakeModel.expected(prompt, Self.parameters(maxTokens: 50), contextLength: 400)
        let answer = try await Answer(engine.submit(EngineRequest(prompt, Self.parameters(maxTokens: 50))))
        #expect(answer.tokens == expected.tokens)
    }

    @Test(.timeLimit(.minutes(1))) func requestsAreGivenUpInTime() async throws {
        let model = FakeModel(rowCount: 100_000)
        var options = EngineOptions()
        options.maxRequests = 1
        let engine = try Self.engine(model, contextLength: 100_000, options: options)
        var terms = RequestOptions()
        terms.timeout = .milliseconds(200)
        let running = try await engine.submit(
            EngineRequest(
                prompt: [1], parameters: Self.parameters(maxTokens: nil), options: terms, decoder: FakeDecoder()))
        terms = RequestOptions()
        terms.queueTimeout = .milliseconds(20)
        let waiting = try await engine.submit(
            EngineRequest(
                prompt: [2], parameters: Self.parameters(maxTokens: 5), options: terms, decoder: FakeDecoder()))
        let first = await #expect(throws: EngineError.self) { try await Answer(waiting) }
        #expect(first?.code == .queueTimeout)
        let second = await #expect(throws: EngineError.self) { try await Answer(running) }
        #expect(second?.code == .deadlineExceeded)
        try await Self.drained(engine)
        #expect(await engine.statistics.failedRequests == 2)
        #expect(await engine.statistics.usedCacheRows == 0)
    }

    // MARK: Failures

    /// Requests outside the step that failed start again, and nothing of it stays cached.
    @Test(.timeLimit(.minutes(1))) func aFailingStepLeavesNothingBehind() async throws {
        let model = FakeModel(rowCount: 1000, tokens: 8)
        model.fail(step: 12)
        let engine = try Self.engine(model)
        let prompt = (0..<30).map { Int32(1 + $0) }
        var streams: [AsyncThrowingStream<RequestOutput, any Error>] = []
        for index in 0..<6 {
            streams.append(
                try await engine.submit(EngineRequest(prompt + [Int32(1 + index)], Self.parameters(maxTokens: 20))))
        }
        var failures = 0
        for (index, stream) in streams.enumerated() {
            do {
                let answer = try await Answer(stream)
                let expected = try FakeModel.expected(
                    prompt + [Int32(1 + index)], Self.parameters(maxTokens: 20), contextLength: 1000)
                #expect(answer.tokens == expected.tokens)
            } catch {
                failures += 1
            }
        }
        #expect(failures > 0)
        #expect(model.faults == [])
        #expect(await engine.cacheViolations == [])
    }

    @Test(.timeLimit(.minutes(1))) func aFailingStepEndsItsRequestsOnly() async throws {
        let model = FakeModel(rowCount: 1000)
        model.fail(step: 3)
        var options = EngineOptions()
        options.maxRequests = 1
        let engine = try Self.engine(model, options: options)
        let first = try await engine.submit(EngineRequest([1], Self.parameters(maxTokens: 10)))
        let second = try await engine.submit(EngineRequest([2], Self.parameters(maxTokens: 10)))
        let error = await #expect(throws: EngineError.self) { try await Answer(first) }
        #expect(error?.code == .stepFailed)
        #expect(try await Answer(second).tokens.count == 10)
        let statistics = await engine.statistics
        #expect(statistics.failedRequests == 1)
        #expect(statistics.usedCacheRows == 0)
    }

    @Test(.timeLimit(.minutes(1))) func logitsThatAreNotNumbersEndOneRequestOnly() async throws {
        let model = FakeModel(rowCount: 1000)
        let engine = try Self.engine(model)
        let good = try await engine.submit(EngineRequest([1], Self.parameters(maxTokens: 10)))
        let bad = try await engine.submit(EngineRequest([2, FakeModel.poison, 3], Self.parameters(maxTokens: 10)))
        let error = await #expect(throws: EngineError.self) { try await Answer(bad) }
        #expect(error?.code == .samplingFailed)
        #expect(try await Answer(good).tokens.count == 10)
        #expect(await engine.statistics.usedCacheRows == 0)
        // Nothing that led to them stays: the good one's token of prompt, and its answer but the last.
        #expect(await engine.statistics.idleCacheRows == 10)
        #expect(await engine.cacheViolations == [])
    }

    // MARK: Refusals

    @Test func badRequestsAreRefusedAtOnce() async throws {
        let engine = try Self.engine(FakeModel(rowCount: 50), contextLength: 60)
        func refusal(_ prompt: [Int32], _ change: (inout SamplingParameters) -> Void = { _ in }) async -> EngineError? {
            var parameters = SamplingParameters()
            change(&parameters)
            do {
                _ = try await engine.submit(EngineRequest(prompt, parameters))
                return nil
            } catch {
                return error
            }
        }
        #expect(await refusal([])?.code == .invalidPrompt)
        #expect(await refusal([1, 64])?.code == .invalidPrompt)
        #expect(await refusal([-1])?.code == .invalidPrompt)
        #expect(await refusal([1]) { $0.temperature = .nan }?.parameter == "temperature")
        #expect(await refusal([1]) { $0.logitBias = [64: 1] }?.parameter == "logitBias")
        #expect(await refusal([1]) { $0.stopTokenIDs = [64] }?.parameter == "stopTokenIDs")
        #expect(await refusal(Array(repeating: 1, count: 60))?.code == .contextLengthExceeded)
        #expect(await refusal(Array(repeating: 1, count: 50))?.code == .cacheTooSmall)
        #expect(await engine.statistics.acceptedRequests == 0)
    }

    @Test(.timeLimit(.minutes(1))) func beyondTheQueueRequestsAreRefused() async throws {
        let model = FakeModel(rowCount: 50)
        var options = EngineOptions()
        options.maxRequests = 1
        options.maxQueuedRequests = 1
        let engine = try Self.engine(model, contextLength: 40, options: options)
        // Far more than can be answered between two calls.
        let results = await withTaskGroup(of: EngineError.Code?.self) { group in
            for _ in 0..<200 {
                group.addTask {
                    do {
                        let stream = try await engine.submit(EngineRequest([1], Self.parameters(maxTokens: nil)))
                        _ = try await Answer(stream)
                        return nil
                    } catch {
                        return (error as? EngineError)?.code
                    }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(results.contains(nil))
        #expect(results.contains(.queueFull))
        #expect(results.allSatisfy { $0 == nil || $0 == .queueFull })
    }

    @Test(arguments: [
        ("maxBatchedTokens", 0), ("maxBatchedTokens", 513), ("maxRequests", 0), ("maxRequests", 17),
        ("maxQueuedRequests", 0), ("maxQueuedTokens", 0), ("prefillChunk", 0), ("assumedAnswerTokens", -1),
        ("targetInterTokenLatency", 0),
    ]) func badOptionsAreRefused(name: String, value: Int) {
        var options = EngineOptions()
        switch name {
        case "maxBatchedTokens": options.maxBatchedTokens = value
        case "maxRequests": options.maxRequests = value
        case "maxQueuedRequests": options.maxQueuedRequests = value
        case "maxQueuedTokens": options.maxQueuedTokens = value
        case "assumedAnswerTokens": options.assumedAnswerTokens = value
        case "targetInterTokenLatency": options.targetInterTokenLatency = .seconds(value)
        default: options.prefillChunk = value
        }
        let error = #expect(throws: EngineError.self) { try Self.engine(FakeModel(rowCount: 50), options: options) }
        #expect(error?.parameter == name)
    }

    // MARK: Ends

    @Test func anAnswerEndsWithTheContextOrTheCache() async throws {
        for (rowCount, contextLength) in [(1000, 30), (30, 1000)] {
            let engine = try Self.engine(FakeModel(rowCount: rowCount), contextLength: contextLength)
            let answer = try await Answer(engine.submit(EngineRequest([1, 2, 3], Self.parameters(maxTokens: nil))))
            #expect(answer.tokens.count == 27)
            #expect(answer.reason == .length)
        }
    }

    @Test(.timeLimit(.minutes(1))) func aStopStringEndsTheRequestInTheEngineToo() async throws {
        let model = FakeModel(rowCount: 100_000)
        let engine = try Self.engine(model, contextLength: 100_000)
        var parameters = Self.parameters(maxTokens: 40)
        let whole = try await Answer(engine.submit(EngineRequest([5], parameters)))
        // Across the border of two tokens' texts.
        let stop = String(whole.text.dropFirst(10).prefix(3))
        let kept = try #require(whole.text.firstRange(of: stop))
        parameters.stop = ["not in there", stop]
        // The engine would go on for minutes.
        parameters.maxTokens = 90_000
        let answer = try await Answer(engine.submit(EngineRequest([5], parameters)))
        #expect(answer.text == String(whole.text[..<kept.lowerBound]))
        #expect(answer.reason == .stop)
        try await Self.drained(engine)
        let statistics = await engine.statistics
        #expect(statistics.finishedRequests == 2)
        #expect(statistics.usedCacheRows == 0)
        parameters.includeStopString = true
        let inclusive = try await Answer(engine.submit(EngineRequest([5], parameters)))
        #expect(inclusive.text == String(whole.text[..<kept.upperBound]))
    }

    @Test func outputsCarryUsageTimingsAndLogprobs() async throws {
        let engine = try Self.engine(FakeModel(rowCount: 1000))
        var parameters = Self.parameters(maxTokens: 8)
        parameters.logprobs = 2
        let prompt: [Int32] = [1, 2, 3, 4, 5]
        var outputs: [RequestOutput] = []
        for try await output in try await engine.submit(EngineRequest(prompt, parameters)) { outputs.append(output) }
        #expect(outputs.count == 8)
        #expect(outputs.map(\.usage.generatedTokens) == Array(1...8))
        #expect(outputs.allSatisfy { $0.usage.promptTokens == 5 })
        #expect(outputs.dropLast().allSatisfy { $0.finishReason == nil })
        #expect(outputs.last?.finishReason == .length)
        #expect(outputs.allSatisfy { $0.logprobs?.map(\.tokenID) == $0.tokenIDs && $0.logprobs?.first?.top.count == 2 })
        let timings = try #require(outputs.last?.timings)
        #expect(timings.queued >= .zero && timings.queued <= timings.firstToken)
        #expect(timings.firstToken <= timings.lastToken)
        #expect(outputs.first?.timings.firstToken == timings.firstToken)
        let statistics = await engine.statistics
        #expect(statistics.generatedTokens == 8)
        #expect(statistics.computedTokens == 5 + 7)
        #expect(statistics.steps == 8)
        #expect(statistics.modelTime <= statistics.stepTime)
    }

    // MARK: Seeds

    @Test func theEnginesSeedMakesRequestsWithoutOneRepeatable() async throws {
        func answers(seed: UInt64?) async throws -> [[Int]] {
            var options = EngineOptions()
            options.seed = seed
            let engine = try Self.engine(FakeModel(rowCount: 1000), options: options)
            var parameters = Self.parameters(maxTokens: 20)
            parameters.seed = nil
            var answers: [[Int]] = []
            for _ in 0..<2 { answers.append(try await Answer(engine.submit(EngineRequest([1], parameters))).tokens) }
            return answers
        }
        let first = try await answers(seed: 1)
        #expect(first[0] != first[1])
        #expect(try await answers(seed: 1) == first)
        #expect(try await answers(seed: 2) != first)
        #expect(try await answers(seed: nil) != answers(seed: nil))
    }

    // MARK: Lifetime

    @Test(.timeLimit(.minutes(1))) func shutdownEndsEverythingAndRefusesMore() async throws {
        let model = FakeModel(rowCount: 1_000_000)
        let engine = try Self.engine(model, contextLength: 1_000_000)
        let running = try await engine.submit(EngineRequest([1], Self.parameters(maxTokens: nil)))
        await engine.shutdown()
        let error = await #expect(throws: EngineError.self) { try await Answer(running) }
        #expect(error?.code == .shutDown)
        let refusal = await #expect(throws: EngineError.self) { try await engine.submit(EngineRequest([1])) }
        #expect(refusal?.code == .shutDown)
        #expect(await engine.statistics.usedCacheRows == 0)
    }

    @Test(.timeLimit(.minutes(1))) func drainFinishesWhatIsThereAndRefusesMore() async throws {
        // Steps take microseconds: the answers are so long that they cannot end before the model is blocked.
        let length = 20_000
        let model = FakeModel(rowCount: 3 * length)
        var options = EngineOptions()
        options.maxRequests = 1
        let engine = try Self.engine(model, contextLength: 2 * length, options: options)
        let running = try await engine.submit(EngineRequest([1], Self.parameters(maxTokens: length)))
        let waiting = try await engine.submit(EngineRequest([2], Self.parameters(maxTokens: length)))
        // A step is under way, so both are unfinished when draining begins.
        try await model.block()
        async let drained: Void = engine.drain()
        model.release()
        while true {
            do {
                _ = try await engine.submit(EngineRequest([3], Self.parameters(maxTokens: 1)))
            } catch {
                #expect(error.code == .shutDown)
                break
            }
        }
        await drained
        #expect(await engine.statistics.runningRequests == 0)
        #expect(try await Answer(running).tokens.count == length)
        #expect(try await Answer(waiting).tokens.count == length)
        // Again, with nothing left to wait for.
        await engine.drain()
    }

    @Test(.timeLimit(.minutes(1))) func shutdownEndsADrain() async throws {
        let model = FakeModel(rowCount: 1_000_000)
        let engine = try Self.engine(model, contextLength: 1_000_000)
        let running = try await engine.submit(EngineRequest([1], Self.parameters(maxTokens: nil)))
        let drains = (0..<3).map { _ in Task { await engine.drain() } }
        await engine.shutdown()
        for drain in drains { await drain.value }
        let error = await #expect(throws: EngineError.self) { try await Answer(running) }
        #expect(error?.code == .shutDown)
    }

    @Test(.timeLimit(.minutes(1))) func statisticsCountTokensAndRows() async throws {
        let engine = try Self.engine(FakeModel(rowCount: 1000))
        _ = try await Answer(engine.submit(EngineRequest([1, 2, 3], Self.parameters(maxTokens: 10))))
        _ = try await Answer(engine.submit(EngineRequest([4, 5], Self.parameters(maxTokens: 5))))
        let statistics = await engine.statistics
        #expect(statistics.promptTokens == 5)
        #expect(statistics.generatedTokens == 15)
        // The last token of an answer has no row.
        #expect(statistics.peakCacheRows >= 12)
        #expect(statistics.peakCacheRows <= 18)
    }

    @Test(.timeLimit(.minutes(1))) func aStreamKeepsItsEngineAndNothingElseDoes() async throws {
        let model = FakeModel(rowCount: 1000)
        var engine: LLMEngine? = try Self.engine(model)
        weak let observer = engine
        let stream = try await engine?.submit(EngineRequest([1], Self.parameters(maxTokens: 100)))
        engine = nil
        let answer = try await Answer(#require(stream))
        #expect(answer.tokens.count == 100)
        while observer != nil { try await Task.sleep(for: .milliseconds(1)) }
    }
}
