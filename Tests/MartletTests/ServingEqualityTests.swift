import Martlet
import MartletGraph
import TestSupport
import Testing

/// 100 prompts, each greedy and sampled with a seed, on the real model: the same tokens and the same bits of their
/// log-probabilities, whatever the engine does meanwhile.
@Suite(.enabled(if: SmolLM2.isPresent, Comment(rawValue: SmolLM2.absence)), .serialized)
struct ServingEqualityTests {
    /// Prose of various lengths, from a token to more than a chunk; every tenth begins like the one before it.
    static func requests() throws -> [EngineRequest] {
        let ids = try SmolLM2.Reference.load().ids
        var generator = TestGenerator(seed: 100)
        var start = 0
        return (0..<100).flatMap { index in
            if index % 10 != 9 { start = generator.below(ids.count - 600) }
            let length = index == 50 ? 530 : index % 40 == 0 ? 130 + generator.below(40) : 1 + generator.below(20)
            return [Float(0), 0.8].map { temperature in
                var parameters = SamplingParameters()
                parameters.maxTokens = 6
                parameters.temperature = temperature
                parameters.seed = UInt64(index)
                parameters.logprobs = 2
                return EngineRequest(Array(ids[start..<start + length]), parameters)
            }
        }
    }

    /// What a request gave: tokens, and the log-probabilities' bits.
    struct Outcome: Sendable, Equatable {
        var tokens: [Int] = []
        var bits: [UInt32] = []
        var reason: FinishReason?

        init(_ stream: AsyncThrowingStream<RequestOutput, any Error>) async throws {
            for try await output in stream {
                tokens += output.tokenIDs
                for logprobs in output.logprobs ?? [] {
                    bits += [logprobs.logprob.bitPattern] + logprobs.top.map(\.logprob.bitPattern)
                }
                reason = output.finishReason
            }
        }
    }

    enum Arrival { case solo, together, random }

    static func outcomes(
        _ model: SmolLM2.Shared, _ arrival: Arrival, passes: Int = 1, _ change: (inout EngineOptions) -> Void = { _ in }
    ) async throws -> (outcomes: [Outcome], statistics: EngineStatistics) {
        var options = EngineOptions()
        change(&options)
        options.maxQueuedRequests = 1000
        let engine = try LLMEngine(
            model.runner, contextLength: model.contextLength, endTokens: [SmolLM2.endToken], options: options)
        let requests = try requests()
        var outcomes: [Outcome] = []
        var generator = TestGenerator(seed: 3)
        for _ in 0..<passes {
            var tasks: [Task<Outcome, any Error>] = []
            if arrival == .together {
                for stream in try await engine.submitTogether(requests) {
                    tasks.append(Task { try await Outcome(stream) })
                }
            } else {
                for request in requests {
                    let stream = try await engine.submit(request)
                    tasks.append(Task { try await Outcome(stream) })
                    // Steps until the next one comes: all that this one takes, if it is to be alone.
                    let start = await engine.statistics.steps
                    let wait = arrival == .solo ? Int.max - start : generator.below(4)
                    while await engine.statistics.steps < start + wait, await engine.isBusy {
                        try await Task.sleep(for: .milliseconds(1))
                    }
                }
            }
            outcomes = []
            for task in tasks { outcomes.append(try await task.value) }
        }
        #expect(await engine.cacheViolations == [])
        let statistics = await engine.statistics
        #expect(statistics.usedCacheRows == 0)
        #expect(statistics.finishedRequests == passes * requests.count)
        return (outcomes, statistics)
    }

    @Test(.timeLimit(.minutes(5))) func answersNeverDependOnTheirCompany() async throws {
        let load = { (threads: Int, requests: Int, rows: Int) in
            SmolLM2.Shared(
                try SmolLM2.load {
                    ($0.threads, $0.maxRequests, $0.maxSampledRows) = (threads, requests, nil)
                    ($0.contextLength, $0.kvCacheTokens) = (min(rows, 1024), rows)
                })
        }
        let model = try load(2, 16, 16 * 1024)
        // One after the other, whole prompts, nothing kept.
        let (expected, reference) = try await Self.outcomes(model, .solo) { $0.cachesPrefixes = false }
        #expect(reference.prefixCacheHits == 0)
        #expect(Set(expected.map(\.tokens)).count > 150, "no two answers are alike")

        func check(_ name: Comment, _ run: (outcomes: [Outcome], statistics: EngineStatistics)) -> EngineStatistics {
            #expect(run.outcomes == expected, name)
            return run.statistics
        }
        _ = check("batch of 16", try await Self.outcomes(model, .together) { $0.cachesPrefixes = false })
        _ = check("random arrivals", try await Self.outcomes(model, .random))
        for budget in [16, 64, 512] {
            _ = check("budget \(budget)", try await Self.outcomes(model, .together) { $0.maxBatchedTokens = budget })
        }
        let cached = check("prefix cache hits", try await Self.outcomes(model, .together, passes: 2))
        #expect(cached.prefixCacheHits > cached.prefixCacheQueries * 2 / 3)
        let oneThread = try load(1, 16, 16 * 1024)
        _ = check("one thread", try await Self.outcomes(oneThread, .together))

        // A hundred at a time want more than four times the rows that there are.
        let small = try load(2, 100, 576)
        let demand = try Self.requests().prefix(100).reduce(0) { $0 + $1.prompt.count + 6 }
        #expect(demand > 4 * 576)
        for (name, caches) in [("exhaustion", true), ("exhaustion without prefix cache", false)] {
            let statistics = check(
                Comment(rawValue: name),
                try await Self.outcomes(small, .together) {
                    $0.assumedAnswerTokens = 0
                    $0.cachesPrefixes = caches
                })
            #expect(statistics.preemptions > 0)
        }
    }
}

extension LLMEngine {
    fileprivate var isBusy: Bool { statistics.runningRequests + statistics.waitingRequests > 0 }
}
