import Foundation
import MartletCheckpoints
import MartletGraph
import TestSupport
import Testing

@testable import Martlet

/// Vectors of texts: equal to the reference, and to the bit whatever the engine does besides.
struct EmbeddingTests {
    /// What transformers gives (`Fixtures/make_embeddings.py`), by model and case, for each pooling.
    private static func references() throws -> [String: [[String: [Float]]]] {
        let url = try SmolLM2.requireFixture("embeddings.json")
        return try JSONDecoder().decode([String: [[String: [Float]]]].self, from: Data(contentsOf: url))
    }

    private static func engine(
        _ path: String, _ change: (inout LoadOptions) -> Void = { _ in },
        _ limit: (inout EngineOptions) -> Void = { _ in }
    ) throws -> LLMEngine {
        var options = LoadOptions()
        options.threads = 1
        options.contextLength = 256
        options.maxRequests = 4
        change(&options)
        let outline = try ModelOutline(Checkpoint(path: path), options: options)
        let models = try outline.compileWithHiddenStates { _ in }
        var engineOptions = EngineOptions()
        limit(&engineOptions)
        return try LLMEngine(
            ModelRunner(models.logits, hiddenStates: models.hiddenStates), contextLength: outline.contextLength,
            endTokens: [], options: engineOptions)
    }

    private static func normalized(_ vector: [Float]) -> [Float] {
        let length = vector.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        return vector.map { Float(Double($0) / length) }
    }

    /// In float32, as logits are: differences come from the order of additions only. The vectors have length 1.
    @Test(arguments: ReferenceModel.own.filter { $0.folder.lastPathComponent != "mllama-text" } + ReferenceModel.shared)
    func vectorsAreThoseOfTheReference(model: ReferenceModel) async throws {
        let references = try #require(try Self.references()[model.folder.lastPathComponent])
        let cases = try model.cases()
        #expect(cases.count == references.count)
        let engine = try Self.engine(model.path) { $0.compute = .f32 }
        for (test, reference) in zip(cases, references) {
            // The model of dynamic scaling depends on the longest context that it is loaded for.
            let own =
                model.folder.lastPathComponent.contains("dynamic")
                ? try Self.engine(model.path) { ($0.compute, $0.contextLength) = (.f32, test.ids.count) } : engine
            for pooling in EmbeddingPooling.allCases {
                let vector = Self.normalized(try await own.embed(test.ids, pooling))
                let expected = try #require(reference[pooling.rawValue])
                let difference = ReferenceModel.largestDifference(vector, expected)
                #expect(difference < 1e-4, "\(pooling), \(test.ids.count) tokens")
            }
        }
    }

    /// Small steps and large ones, one thread and two, alone and beside other texts and answers.
    @Test(.enabled(if: SmolLM2.isPresent, Comment(rawValue: SmolLM2.absence)))
    func companyAndChunksDontShow() async throws {
        let path = SharedFixtures.smolLM2?.path ?? ""
        let texts = [577, 1, 64, 130, 9].enumerated().map {
            BatchInvarianceTests.tokens(count: $0.element, seed: UInt64($0.offset))
        }
        let load: (inout LoadOptions) -> Void = { ($0.contextLength, $0.maxRequests) = (1024, 4) }
        let alone = try Self.engine(path, load)
        var expected: [[Float]] = []
        for pooling in EmbeddingPooling.allCases {
            for text in texts { expected.append(try await alone.embed(text, pooling)) }
        }
        #expect(Set(expected).count == expected.count - 1, "only of a text of one token mean and last are equal")
        for (chunk, threads) in [(512, 2), (64, 1), (7, 1)] {
            let engine = try Self.engine(path) {
                load(&$0)
                $0.threads = threads
            } _: {
                $0.maxBatchedTokens = chunk
            }
            var parameters = SamplingParameters()
            (parameters.maxTokens, parameters.ignoreEOS) = (20, true)
            var answers: [Task<Answer, any Error>] = []
            for index in 0..<3 {
                let stream = try await engine.submit(EngineRequest(Array(texts[3].prefix(20 + index)), parameters))
                answers.append(Task { try await Answer(stream) })
            }
            let vectors = try await withThrowingTaskGroup(of: (Int, [Float]).self) { group in
                for (place, pooling) in EmbeddingPooling.allCases.enumerated() {
                    for (index, text) in texts.enumerated() {
                        group.addTask { (place * texts.count + index, try await engine.embed(text, pooling)) }
                    }
                }
                var vectors = expected.map { _ in [Float]() }
                for try await (index, vector) in group { vectors[index] = vector }
                return vectors
            }
            #expect(vectors == expected, "chunks of \(chunk)")
            for answer in answers { #expect(try await answer.value.tokens.count == 20) }
            #expect(await engine.statistics.runningRequests == 0)
        }
    }

    /// The list is longer than what may run and wait, beside another that is: both are done.
    @Test(.enabled(if: SmolLM2.isPresent, Comment(rawValue: SmolLM2.absence)))
    func listsShareAFullQueue() async throws {
        var options = LoadOptions()
        (options.contextLength, options.maxRequests) = (64, 1)
        var engineOptions = EngineOptions()
        engineOptions.maxQueuedRequests = 2
        let llm = try await LLM.load(SharedFixtures.smolLM2?.path ?? "", options: options, engine: engineOptions)
        let prompts = (1...8).map { Prompt.tokens(Array(1...$0)) }
        let expected = try await llm.embed(prompts)
        let lists = try await withThrowingTaskGroup(of: [Embedding].self) { group in
            for _ in 0..<2 { group.addTask { try await llm.embed(prompts) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(lists == [expected, expected])
        // Who finds no place is told so, and no place is lost.
        try llm.engine.embeddingGauge.enter(3)
        let full = await #expect(throws: EngineError.self) { try await llm.embed(prompts) }
        #expect(full?.code == .queueFull)
        llm.engine.embeddingGauge.leave(3)
        #expect(try await llm.embed(prompts) == expected)
    }

    @Test func whatCannotBeIsRefused() async throws {
        let model = try #require(ReferenceModel.own.first)
        let engine = try Self.engine(model.path, { $0.contextLength = 20 }, { $0.maxQueuedTokens = 30 })
        await #expect(throws: EngineError.self) { try await engine.embed([], .mean) }
        for token in [Int32(-1), 97] {
            let error = await #expect(throws: EngineError.self) { try await engine.embed([3, token], .mean) }
            #expect(error?.code == .invalidPrompt)
        }
        let long = await #expect(throws: EngineError.self) {
            try await engine.embed(Array(repeating: 3, count: 21), .mean)
        }
        #expect(long?.code == .contextLengthExceeded)
        // The whole context is there: nothing is generated.
        #expect(try await engine.embed(Array(repeating: 3, count: 20), .mean).count == 24)
        var late = RequestOptions()
        late.timeout = .zero
        let expired = await #expect(throws: EngineError.self) { try await engine.embed([3], .mean, late) }
        #expect(expired?.code == .deadlineExceeded)
        let cancelled = Task { try await engine.embed(Array(repeating: 3, count: 20), .mean) }
        cancelled.cancel()
        // It may have been done before.
        if case .failure(let error) = await cancelled.result { #expect(error is CancellationError) }
        await engine.drain()
        let shut = await #expect(throws: EngineError.self) { try await engine.embed([3], .mean) }
        #expect(shut?.code == .shutDown)
        let statistics = await engine.statistics
        #expect(statistics.runningRequests == 0 && statistics.waitingRequests == 0)
    }
}

/// The policy, without a model.
struct EmbeddingQueueTests {
    private static func queue(rows: Int, batched: Int, requests: Int = 4, queued: Int = 8) -> EmbeddingQueue {
        EmbeddingQueue(
            rowCount: rows,
            limits: SchedulerLimits(
                maxBatchedTokens: batched, maxRequests: requests, maxQueuedRequests: queued, maxQueuedTokens: 1000,
                contextLength: 200), width: 1)
    }

    private static func tokens(_ count: Int) -> [Int32] { Array(repeating: 1, count: count) }

    /// Every token once, in order, in rows that no other running text has; the vector is the mean of all.
    @Test func everyTokenIsComputedOnce() throws {
        var queue = Self.queue(rows: 256, batched: 50)
        let lengths = [130, 3, 64, 65, 1, 200, 17]
        for (index, count) in lengths.enumerated() {
            try queue.add(RequestID(UInt64(index)), Self.tokens(count), index == 1 ? .last : .mean, RequestTerms())
        }
        var finished: [RequestID: [Float]] = [:]
        var steps = 0
        while queue.hasWork {
            let entries = queue.schedule(.unlimited)
            #expect(!entries.isEmpty && entries.reduce(0) { $0 + $1.count } <= 50)
            var used: Set<Int> = []
            var values: [Float] = []
            for text in queue.running {
                for row in text.firstRow..<text.firstRow + text.tokens.count {
                    #expect(row < 256 && used.insert(row).inserted)
                }
            }
            for entry in entries {
                let end = entry.start + entry.count
                values += (end - entry.wantedCount..<end).map { Float($0) }
            }
            let done = values.withUnsafeBufferPointer { queue.update(entries, $0) }
            for (id, vector) in done { #expect(finished.updateValue(vector, forKey: id) == nil) }
            steps += 1
        }
        for (index, count) in lengths.enumerated() {
            // Positions stand for hidden states.
            let expected = index == 1 ? Float(count - 1) : Float(count - 1) / 2
            #expect(finished[RequestID(UInt64(index))] == [expected])
        }
        #expect(steps >= lengths.reduce(0, +) / 50)
    }

    @Test func aStepKeepsToItsAllowance() throws {
        var queue = Self.queue(rows: 256, batched: 200)
        try queue.add(RequestID(0), Self.tokens(100), .mean, RequestTerms())
        let entries = queue.schedule(PromptAllowance(30, perToken: 1, perPosition: 0))
        #expect(entries.map(\.count) == [30])
        #expect(queue.schedule(PromptAllowance(0, perToken: 1, perPosition: 0)).map(\.count) == [16])
    }

    @Test func urgentTextsDontWaitForALongOne() throws {
        var queue = Self.queue(rows: 512, batched: 50)
        try queue.add(RequestID(0), Self.tokens(200), .last, RequestTerms())
        #expect(queue.schedule(.unlimited).map(\.count) == [50])
        for (id, count, priority) in [(1, 20, 1), (2, 10, 2), (3, 5, 0)] {
            try queue.add(RequestID(UInt64(id)), Self.tokens(count), .last, RequestTerms(priority: priority))
        }
        let entries = queue.schedule(.unlimited)
        #expect(queue.running.map(\.id.value) == [2, 1, 0])
        #expect(entries.map(\.start) == [0, 0, 50] && entries.map(\.count) == [10, 20, 20])
        let finished = [Float](repeating: 1, count: 2).withUnsafeBufferPointer { queue.update(entries, $0) }
        #expect(finished.map(\.id.value) == [2, 1])
        #expect(queue.schedule(.unlimited).map(\.start) == [70])
    }

    @Test func importantTextsComeFirstAndTheQueueIsBounded() throws {
        var queue = Self.queue(rows: 64, batched: 100, requests: 1, queued: 2)
        for index in 0..<3 {
            try queue.add(RequestID(UInt64(index)), Self.tokens(10), .mean, RequestTerms(priority: index == 2 ? 1 : 0))
        }
        let full = #expect(throws: EngineError.self) {
            try queue.add(RequestID(9), Self.tokens(1), .mean, RequestTerms())
        }
        #expect(full?.code == .queueFull)
        _ = queue.schedule(.unlimited)
        #expect(queue.running.map(\.id) == [RequestID(2)], "one page, the most important text")
        #expect(throws: EngineError.self) { try queue.add(RequestID(9), Self.tokens(1), .mean, RequestTerms()) }
        queue.remove(RequestID(2))
        queue.remove(RequestID(0))
        _ = queue.schedule(.unlimited)
        #expect(queue.running.map(\.id) == [RequestID(1)])
    }
}
