import Martlet
import Testing

@Suite struct SchedulerTests {
    static let limits = SchedulerLimits(
        maxBatchedTokens: 16, maxRequests: 4, maxQueuedRequests: 8, prefillChunk: nil, contextLength: 1000)

    static func request(_ id: UInt64, prompt: Int, maxTokens: Int = 10, stopTokens: [Int32] = []) -> RequestState {
        RequestState(
            id: RequestID(id), prompt: (0..<prompt).map { Int32($0) },
            limits: .init(maxTokens: maxTokens, stopTokens: stopTokens))
    }

    static func refusal(of request: RequestState, by scheduler: inout Scheduler) -> EngineError.Code? {
        do {
            try scheduler.add(request)
            return nil
        } catch {
            return error.code
        }
    }

    /// (request, start, count) of each entry.
    static func summary(_ output: SchedulerOutput) -> [[Int]] {
        output.entries.map { [Int($0.id.value), $0.start, $0.count] }
    }

    @Test func aLongPromptIsComputedInChunksAndSampledOnce() throws {
        var scheduler = Scheduler(rowCount: 256, limits: Self.limits)
        try scheduler.add(Self.request(1, prompt: 40, maxTokens: 2))
        var sampled: [Int] = []
        var starts: [[Int]] = []
        while scheduler.hasWork {
            let output = scheduler.schedule()
            starts += Self.summary(output)
            sampled.append(output.sampledCount)
            _ = scheduler.update(output, tokens: Array(repeating: 7, count: output.sampledCount))
        }
        #expect(starts == [[1, 0, 16], [1, 16, 16], [1, 32, 8], [1, 40, 1]])
        #expect(sampled == [0, 0, 1, 1])
        #expect(scheduler.cache.usedCount == 0)
    }

    @Test func runningRequestsComeFirstAndTheRestOfTheBudgetGoesToPrompts() throws {
        var scheduler = Scheduler(rowCount: 256, limits: Self.limits)
        try scheduler.add(Self.request(1, prompt: 5))
        var output = scheduler.schedule()
        _ = scheduler.update(output, tokens: [7])
        try scheduler.add(Self.request(2, prompt: 30))
        try scheduler.add(Self.request(3, prompt: 4))
        output = scheduler.schedule()
        #expect(Self.summary(output) == [[1, 5, 1], [2, 0, 15]])
        _ = scheduler.update(output, tokens: [7])
        output = scheduler.schedule()
        #expect(Self.summary(output) == [[1, 6, 1], [2, 15, 15]])
        _ = scheduler.update(output, tokens: [7, 7])
        output = scheduler.schedule()
        #expect(Self.summary(output) == [[1, 7, 1], [2, 30, 1], [3, 0, 4]])
    }

    @Test func aChunkCapLeavesRoomForOthers() throws {
        var limits = Self.limits
        limits.prefillChunk = 4
        var scheduler = Scheduler(rowCount: 256, limits: limits)
        try scheduler.add(Self.request(1, prompt: 9))
        try scheduler.add(Self.request(2, prompt: 3))
        #expect(Self.summary(scheduler.schedule()) == [[1, 0, 4], [2, 0, 3]])
    }

    @Test func noMoreThanMaxRequestsRun() throws {
        var scheduler = Scheduler(rowCount: 256, limits: Self.limits)
        for id in 1...6 { try scheduler.add(Self.request(UInt64(id), prompt: 1)) }
        #expect(scheduler.schedule().entries.count == 4)
        #expect(scheduler.waiting.count == 2)
    }

    @Test func theNewestIsPreemptedAndComesBackBeforeTheOthersThatWait() throws {
        // Room for 40 tokens: both are admitted, and both want to grow to 30.
        var scheduler = Scheduler(rowCount: 40, limits: Self.limits)
        try scheduler.add(Self.request(1, prompt: 5, maxTokens: 25))
        var output = scheduler.schedule()
        _ = scheduler.update(output, tokens: [7])
        try scheduler.add(Self.request(2, prompt: 5, maxTokens: 25))
        try scheduler.add(Self.request(3, prompt: 5, maxTokens: 2))
        var finished: [UInt64] = []
        var preempted: [UInt64] = []
        while scheduler.hasWork {
            output = scheduler.schedule()
            #expect(scheduler.cache.checkInvariants() == [])
            #expect(!output.isEmpty)
            preempted += output.preempted.map(\.value)
            for update in scheduler.update(output, tokens: Array(repeating: 7, count: output.sampledCount))
            where update.finishReason != nil {
                finished.append(update.id.value)
            }
        }
        #expect(preempted.first == 3 || preempted.first == 2)
        #expect(preempted.contains(2))
        #expect(!preempted.contains(1))
        #expect(finished.first == 1)
        #expect(finished.sorted() == [1, 2, 3])
        #expect(scheduler.cache.usedCount == 0)
    }

    @Test func whatCanNeverFitIsRefusedAtOnce() throws {
        var scheduler = Scheduler(rowCount: 64, limits: Self.limits)
        #expect(Self.refusal(of: Self.request(1, prompt: 1000), by: &scheduler) == .contextLengthExceeded)
        #expect(Self.refusal(of: Self.request(1, prompt: 64), by: &scheduler) == .cacheTooSmall)
        #expect(scheduler.waiting.isEmpty)
        try scheduler.add(Self.request(1, prompt: 63, maxTokens: 100))
        #expect(scheduler.waiting[0].limits.maxTokens == 1)
    }

    @Test func theQueueIsBounded() throws {
        var scheduler = Scheduler(rowCount: 64, limits: Self.limits)
        for id in 1...8 { try scheduler.add(Self.request(UInt64(id), prompt: 1)) }
        #expect(Self.refusal(of: Self.request(9, prompt: 1), by: &scheduler) == .queueFull)
    }

    @Test func stopTokensEndARequestAfterItsMinimum() throws {
        var scheduler = Scheduler(rowCount: 64, limits: Self.limits)
        try scheduler.add(
            RequestState(
                id: RequestID(1), prompt: [4], limits: .init(maxTokens: 10, minTokens: 2, stopTokens: [9])))
        var reasons: [FinishReason?] = []
        while scheduler.hasWork {
            let output = scheduler.schedule()
            reasons += scheduler.update(output, tokens: [9]).map(\.finishReason)
        }
        #expect(reasons == [nil, nil, .stop])
    }

    @Test func aRequestWithoutATokenEndsAloneWithAnError() throws {
        var scheduler = Scheduler(rowCount: 64, limits: Self.limits)
        try scheduler.add(Self.request(1, prompt: 1))
        try scheduler.add(Self.request(2, prompt: 1))
        let output = scheduler.schedule()
        let updates = scheduler.update(output, tokens: [nil, 5])
        #expect(updates.map(\.finishReason) == [.error, nil])
        #expect(scheduler.running.map(\.id.value) == [2])
        #expect(scheduler.cache.usedCount == 1)
    }

    /// Random arrivals, lengths, stops and aborts in a pool that is far too small: every step stays in its bounds, every
    /// request that isn't aborted gets exactly its tokens, and the pool is empty at the end.
    @Test(arguments: 1...20)
    func randomOperations(seed: UInt64) throws {
        var generator = TestGenerator(seed: seed)
        let limits = SchedulerLimits(
            maxBatchedTokens: 1 + generator.below(40), maxRequests: 1 + generator.below(6), maxQueuedRequests: 50,
            prefillChunk: generator.below(2) == 0 ? nil : 1 + generator.below(9), contextLength: 150)
        let rowCount = 70 + generator.below(200)
        var scheduler = Scheduler(rowCount: rowCount, limits: limits)
        var expected: [RequestID: Int] = [:]
        var produced: [RequestID: Int] = [:]
        var nextID: UInt64 = 0
        for step in 0..<3000 {
            if step < 2000, generator.below(6) == 0 {
                let prompt = 1 + generator.below(60)
                let maxTokens = 1 + generator.below(60)
                let request = Self.request(nextID, prompt: prompt, maxTokens: maxTokens)
                if (try? scheduler.add(request)) != nil {
                    expected[request.id] = min(maxTokens, min(rowCount, limits.contextLength) - prompt)
                }
                nextID += 1
            }
            if generator.below(30) == 0, let victim = expected.keys.sorted().randomElement(using: &generator) {
                scheduler.abort(victim)
                expected[victim] = nil
                produced[victim] = nil
            }
            let output = scheduler.schedule()
            #expect(output.tokenCount <= limits.maxBatchedTokens)
            #expect(output.entries.count <= limits.maxRequests)
            #expect(output.isEmpty == !scheduler.hasWork)
            for entry in output.entries { #expect(entry.count <= limits.prefillChunk ?? .max) }
            for update in scheduler.update(output, tokens: Array(repeating: 3, count: output.sampledCount)) {
                produced[update.id, default: 0] += 1
                if update.finishReason != nil {
                    #expect(produced[update.id] == expected[update.id])
                    expected[update.id] = nil
                }
            }
            let used = scheduler.running.reduce(0) { $0 + $1.computedCount }
            #expect(scheduler.cache.usedCount == used)
            if step % 100 == 0 { #expect(scheduler.cache.checkInvariants() == []) }
            // Order of arrival, in both places.
            #expect(scheduler.running.map(\.id) == scheduler.running.map(\.id).sorted())
            #expect(scheduler.waiting.map(\.id) == scheduler.waiting.map(\.id).sorted())
        }
        while scheduler.hasWork {
            let output = scheduler.schedule()
            for update in scheduler.update(output, tokens: Array(repeating: 3, count: output.sampledCount)) {
                produced[update.id, default: 0] += 1
                if update.finishReason != nil {
                    #expect(produced[update.id] == expected[update.id])
                    expected[update.id] = nil
                }
            }
        }
        #expect(expected.isEmpty)
        #expect(scheduler.cache.usedCount == 0)
        #expect(scheduler.table.freeSlotCount == limits.maxRequests)
        #expect(scheduler.cache.checkInvariants() == [])
    }
}
