import Martlet
import TestSupport
import Testing

@Suite struct SchedulerTests {
    static let limits = SchedulerLimits(
        maxBatchedTokens: 16, maxRequests: 4, maxQueuedRequests: 8, prefillChunk: nil, contextLength: 1000,
        cachesPrefixes: false)

    static func request(_ id: UInt64, prompt: Int, maxTokens: Int = 10, stopTokens: [Int32] = []) -> RequestState {
        RequestState(
            id: RequestID(id), prompt: (0..<prompt).map { Int32($0) },
            limits: .init(maxTokens: maxTokens, stopTokens: stopTokens))
    }

    static func refusal(
        of request: RequestState, by scheduler: inout Scheduler, hasPlace: Bool = false
    ) -> EngineError.Code? {
        do {
            try scheduler.add(request, hasPlace: hasPlace)
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
            _ = scheduler.update(output, DrawnTokens(Array(repeating: 7, count: output.sampledCount)))
        }
        #expect(starts == [[1, 0, 16], [1, 16, 16], [1, 32, 8], [1, 40, 1]])
        #expect(sampled == [0, 0, 1, 1])
        #expect(scheduler.memory.usedCount == 0)
    }

    @Test func runningRequestsComeFirstAndTheRestOfTheBudgetGoesToPrompts() throws {
        var scheduler = Scheduler(rowCount: 256, limits: Self.limits)
        try scheduler.add(Self.request(1, prompt: 5))
        var output = scheduler.schedule()
        _ = scheduler.update(output, DrawnTokens([7]))
        try scheduler.add(Self.request(2, prompt: 30))
        try scheduler.add(Self.request(3, prompt: 4))
        output = scheduler.schedule()
        #expect(Self.summary(output) == [[1, 5, 1], [2, 0, 15]])
        _ = scheduler.update(output, DrawnTokens([7]))
        output = scheduler.schedule()
        #expect(Self.summary(output) == [[1, 6, 1], [2, 15, 15]])
        _ = scheduler.update(output, DrawnTokens([7, 7]))
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
        var limits = Self.limits
        limits.assumedAnswerTokens = 1
        var scheduler = Scheduler(rowCount: 40, limits: limits)
        try scheduler.add(Self.request(1, prompt: 5, maxTokens: 25))
        var output = scheduler.schedule()
        _ = scheduler.update(output, DrawnTokens([7]))
        try scheduler.add(Self.request(2, prompt: 5, maxTokens: 25))
        try scheduler.add(Self.request(3, prompt: 5, maxTokens: 2))
        var finished: [UInt64] = []
        var preempted: [UInt64] = []
        while scheduler.hasWork {
            #expect(scheduler.checkInvariants() == [])
            output = scheduler.schedule()
            #expect(!output.isEmpty)
            preempted += output.preempted.map(\.value)
            for update in scheduler.update(output, DrawnTokens(Array(repeating: 7, count: output.sampledCount)))
            where update.finishReason != nil {
                finished.append(update.id.value)
            }
        }
        #expect(preempted.first == 3 || preempted.first == 2)
        #expect(preempted.contains(2))
        #expect(!preempted.contains(1))
        #expect(finished.sorted() == [1, 2, 3])
        #expect(finished.last == 2)
        #expect(scheduler.memory.usedCount == 0)
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
        // Four are about to run, and eight wait.
        for id in 1...12 {
            #expect(scheduler.queueRoom == 13 - id)
            try scheduler.add(Self.request(UInt64(id), prompt: 1))
        }
        #expect(Self.refusal(of: Self.request(13, prompt: 1), by: &scheduler) == .queueFull)
        let step = scheduler.schedule()
        #expect(scheduler.waiting.count == 8)
        #expect(Self.refusal(of: Self.request(13, prompt: 1), by: &scheduler) == .queueFull)
        _ = scheduler.update(step, DrawnTokens(Array(repeating: 7, count: step.sampledCount)))
        scheduler.abort(RequestID(12))
        try scheduler.add(Self.request(13, prompt: 1))
        #expect(scheduler.queueRoom == 0)
    }

    @Test func whoWaitsForAFreeSlotMakesRoom() throws {
        var limits = Self.limits
        (limits.maxRequests, limits.maxQueuedRequests) = (1, 1)
        var scheduler = Scheduler(rowCount: 64, limits: limits)
        try scheduler.add(Self.request(1, prompt: 1, maxTokens: 1))
        try scheduler.add(Self.request(2, prompt: 1))
        let step = scheduler.schedule()
        #expect(scheduler.queueRoom == 0)
        _ = scheduler.update(step, DrawnTokens([7]))
        // The second runs next, so another may wait.
        #expect(scheduler.queueRoom == 1)
        try scheduler.add(Self.request(3, prompt: 1))
        #expect(scheduler.queueRoom == 0)
    }

    @Test func slotsAreNoRoomWhereRowsAreShort() throws {
        var scheduler = Scheduler(rowCount: 24, limits: Self.limits)
        try scheduler.add(Self.request(1, prompt: 14))
        _ = scheduler.update(scheduler.schedule(), DrawnTokens([7]))
        #expect(scheduler.queueRoom == 11)
        try scheduler.add(Self.request(2, prompt: 14))
        #expect(scheduler.queueRoom == 10)
        _ = scheduler.update(scheduler.schedule(), DrawnTokens([7]))
        #expect(scheduler.running.count == 1 && scheduler.waiting.count == 1)
        #expect(scheduler.queueRoom == 7)
        scheduler.abort(RequestID(2))
        #expect(scheduler.queueRoom == 11)
    }

    @Test func theQueueIsBoundedInTokensToo() throws {
        var limits = Self.limits
        limits.maxQueuedTokens = 30
        var scheduler = Scheduler(rowCount: 640, limits: limits)
        // One alone may always wait.
        try scheduler.add(Self.request(1, prompt: 100))
        #expect(Self.refusal(of: Self.request(2, prompt: 1), by: &scheduler) == .queueFull)
        _ = scheduler.schedule()
        try scheduler.add(Self.request(2, prompt: 20))
        try scheduler.add(Self.request(3, prompt: 10))
        #expect(Self.refusal(of: Self.request(4, prompt: 1), by: &scheduler) == .queueFull)
        scheduler.abort(RequestID(2))
        try scheduler.add(Self.request(4, prompt: 20))
    }

    @Test func whoWasPromisedAPlaceIsTakenThoughTheQueueIsFull() throws {
        var limits = Self.limits
        (limits.maxRequests, limits.maxQueuedRequests, limits.maxQueuedTokens) = (1, 1, 30)
        var scheduler = Scheduler(rowCount: 640, limits: limits)
        for id in 1...2 { try scheduler.add(Self.request(UInt64(id), prompt: 1)) }
        #expect(Self.refusal(of: Self.request(3, prompt: 1), by: &scheduler) == .queueFull)
        try scheduler.add(Self.request(3, prompt: 1), hasPlace: true)
        #expect(scheduler.queueRoom == -1)
        // Nothing was promised about its length.
        #expect(Self.refusal(of: Self.request(4, prompt: 100), by: &scheduler, hasPlace: true) == .queueFull)
    }

    // MARK: Latency

    @Test func nextTokensComeBeforePrompts() throws {
        // The first is still busy with its prompt when the second gets its turn.
        var limits = Self.limits
        limits.prefillChunk = 10
        var scheduler = Scheduler(rowCount: 1000, limits: limits)
        try scheduler.add(Self.request(1, prompt: 100))
        try scheduler.add(Self.request(2, prompt: 2))
        let output = scheduler.schedule()
        #expect(Self.summary(output) == [[1, 0, 10], [2, 0, 2]])
        _ = scheduler.update(output, DrawnTokens([7]))
        #expect(Self.summary(scheduler.schedule()) == [[2, 2, 1], [1, 10, 10]])
    }

    @Test func theAllowanceBoundsPromptsOnlyWhereOthersWaitForTokens() throws {
        var scheduler = Scheduler(rowCount: 1000, limits: Self.limits)
        let allowance = PromptAllowance(3, perToken: 1, perPosition: 0)
        try scheduler.add(Self.request(1, prompt: 12))
        var output = scheduler.schedule(allowance)
        #expect(Self.summary(output) == [[1, 0, 12]])
        _ = scheduler.update(output, DrawnTokens([7]))
        var limits = Self.limits
        limits.maxBatchedTokens = 100
        scheduler = Scheduler(rowCount: 1000, limits: limits)
        try scheduler.add(Self.request(1, prompt: 1))
        output = scheduler.schedule(allowance)
        _ = scheduler.update(output, DrawnTokens([7]))
        try scheduler.add(Self.request(2, prompt: 50))
        try scheduler.add(Self.request(3, prompt: 50))
        // A first chunk is never smaller than 16; a second one has to fit.
        output = scheduler.schedule(allowance)
        #expect(Self.summary(output) == [[1, 1, 1], [2, 0, 16]])
        #expect(output.promptTokenCount == 16)
        _ = scheduler.update(output, DrawnTokens([7]))
        output = scheduler.schedule(PromptAllowance(40, perToken: 1, perPosition: 0))
        #expect(Self.summary(output) == [[1, 2, 1], [2, 16, 34], [3, 0, 6]])
    }

    /// The largest n whose cost n · a + b · (n · start + n² / 2) is within the allowance.
    @Test(arguments: [(100.0, 1.0, 0.0), (100, 0, 0.01), (100, 2, 0.03), (5, 0.001, 0.0001)])
    func theAllowanceCountsWhatFits(total: Double, perToken: Double, perPosition: Double) {
        for start in [0, 1, 100, 4000] {
            let allowance = PromptAllowance(total, perToken: perToken, perPosition: perPosition)
            let count = allowance.tokens(from: start)
            func remaining(after count: Int) -> Double {
                var spent = allowance
                spent.charge(count, from: start)
                return spent.remaining
            }
            #expect(count == PromptAllowance.smallestChunk || remaining(after: count) > -1e-6)
            #expect(remaining(after: count + 1) < 1e-6)
        }
    }

    /// Prompts and texts for embeddings share a step's allowance; texts begin with a first chunk even where nothing is left.
    @Test func whatPromptsLeaveOfTheAllowanceIsForOthers() {
        let allowance = PromptAllowance(100, perToken: 1, perPosition: 0.01)
        #expect(abs(allowance.rest(afterTokens: 40, positions: 1000).remaining - 50) < 1e-9)
        #expect(allowance.rest(afterTokens: 0, positions: 0).remaining == 100)
        let spent = allowance.rest(afterTokens: 500, positions: 0)
        #expect(spent.tokens(from: 0) == PromptAllowance.smallestChunk)
        #expect(PromptAllowance.unlimited.rest(afterTokens: 500, positions: 9).tokens(from: 0) == .max)
    }

    // MARK: Order

    @Test func higherPrioritiesRunFirst() throws {
        var scheduler = Scheduler(rowCount: 256, limits: Self.limits)
        for (id, priority) in [(1, 0), (2, 5), (3, -1), (4, 5), (5, 1), (6, 0)] {
            try scheduler.add(
                RequestState(
                    id: RequestID(UInt64(id)), prompt: [1], limits: .init(maxTokens: 5),
                    terms: .init(priority: priority)))
        }
        #expect(scheduler.schedule().entries.map(\.id.value) == [2, 4, 5, 1])
    }

    @Test func anUrgentRequestTakesTheSlotOfTheLeastImportantOne() throws {
        var limits = Self.limits
        limits.maxRequests = 2
        var scheduler = Scheduler(rowCount: 256, limits: limits)
        for id in 1...2 { try scheduler.add(Self.request(UInt64(id), prompt: 1)) }
        _ = scheduler.update(scheduler.schedule(), DrawnTokens([7, 7]))
        try scheduler.add(
            RequestState(id: RequestID(3), prompt: [1], limits: .init(maxTokens: 2), terms: .init(priority: 1)))
        var output = scheduler.schedule()
        #expect(output.preempted == [RequestID(2)])
        #expect(output.entries.map(\.id.value) == [1, 3])
        _ = scheduler.update(output, DrawnTokens([7, 7]))
        // The urgent one is the first from now on, and the other comes back when it is done.
        output = scheduler.schedule()
        #expect(output.entries.map(\.id.value) == [3, 1])
        _ = scheduler.update(output, DrawnTokens([7, 7]))
        #expect(scheduler.schedule().entries.map(\.id.value) == [1, 2])
    }

    private static func request(_ id: UInt64, prompt: Int, priority: Int) -> RequestState {
        RequestState(
            id: RequestID(id), prompt: (0..<prompt).map { Int32($0) }, limits: .init(maxTokens: 10),
            terms: .init(priority: priority))
    }

    @Test func urgentRequestsDontWaitForALongPrompt() throws {
        var scheduler = Scheduler(rowCount: 1000, limits: Self.limits)
        try scheduler.add(Self.request(1, prompt: 100))
        _ = scheduler.update(scheduler.schedule(), DrawnTokens([]))
        for (id, priority) in [(2, 0), (3, 1), (4, 2)] {
            try scheduler.add(Self.request(UInt64(id), prompt: 4, priority: priority))
        }
        // All that are more urgent, in their order; who is not takes its turn.
        var output = scheduler.schedule()
        #expect(Self.summary(output) == [[4, 0, 4], [3, 0, 4], [1, 16, 8]])
        _ = scheduler.update(output, DrawnTokens([7, 7]))
        output = scheduler.schedule()
        #expect(Self.summary(output) == [[4, 4, 1], [3, 4, 1], [1, 24, 14]])
        #expect(scheduler.checkInvariants() == [])
    }

    /// The allowance is all that a step has for prompts, and the prompt that runs would take it every time.
    @Test func theAllowanceGoesToTheMoreUrgentFirst() throws {
        var limits = Self.limits
        limits.maxBatchedTokens = 100
        var scheduler = Scheduler(rowCount: 1000, limits: limits)
        let allowance = PromptAllowance(20, perToken: 1, perPosition: 0)
        try scheduler.add(Self.request(1, prompt: 1, priority: 9))
        _ = scheduler.update(scheduler.schedule(allowance), DrawnTokens([7]))
        // The most urgent prompt keeps its place before one that comes later.
        try scheduler.add(Self.request(2, prompt: 20, priority: 6))
        try scheduler.add(Self.request(3, prompt: 200, priority: 0))
        var output = scheduler.schedule(allowance)
        #expect(Self.summary(output) == [[1, 1, 1], [2, 0, 20]])
        _ = scheduler.update(output, DrawnTokens([7, 7]))
        output = scheduler.schedule(allowance)
        #expect(Self.summary(output) == [[1, 2, 1], [2, 20, 1], [3, 0, 20]])
        _ = scheduler.update(output, DrawnTokens([7, 7]))
        try scheduler.add(Self.request(4, prompt: 12, priority: 3))
        output = scheduler.schedule(allowance)
        #expect(Self.summary(output) == [[1, 3, 1], [2, 21, 1], [4, 0, 12], [3, 20, 8]])
    }

    /// What fits is what the estimate says, for the urgent as well; the one that runs goes on otherwise.
    @Test func anUrgentRequestThatDoesNotFitTakesRowsFirst() throws {
        var scheduler = Scheduler(rowCount: 64, limits: Self.limits)
        try scheduler.add(Self.request(1, prompt: 50))
        _ = scheduler.update(scheduler.schedule(), DrawnTokens([]))
        try scheduler.add(Self.request(2, prompt: 30, priority: 1))
        let output = scheduler.schedule()
        #expect(output.preempted == [RequestID(1)])
        #expect(Self.summary(output) == [[2, 0, 16]])
    }

    @Test func clientsThatWaitGetEqualShares() throws {
        var limits = Self.limits
        limits.maxRequests = 1
        limits.maxQueuedRequests = 100
        var scheduler = Scheduler(rowCount: 1000, limits: limits)
        // One sends many requests before another sends few, and its requests are twice as long.
        for id in 0..<40 {
            try scheduler.add(
                RequestState(
                    id: RequestID(UInt64(id)), prompt: [1], limits: .init(maxTokens: id < 30 ? 20 : 10),
                    terms: .init(client: id < 30 ? "many" : "few")))
        }
        var tokens: [String: Int] = [:]
        var finished: [UInt64] = []
        while finished.count < 15 {
            let output = scheduler.schedule()
            for entry in output.entries { tokens[entry.id.value < 30 ? "many" : "few", default: 0] += entry.count }
            finished += scheduler.update(output, DrawnTokens([7])).filter { $0.finishReason != nil }.map(\.id.value)
        }
        let difference = tokens["many", default: 0] - tokens["few", default: 0]
        #expect(abs(difference) <= 20)
        #expect(finished.filter { $0 >= 30 } == Array(30..<40))
        // Someone new neither waits for those who came before nor gets more than they.
        try scheduler.add(
            RequestState(id: RequestID(99), prompt: [1], limits: .init(maxTokens: 10), terms: .init(client: "new")))
        while !finished.contains(99) {
            let output = scheduler.schedule()
            finished += scheduler.update(output, DrawnTokens([7])).filter { $0.finishReason != nil }.map(\.id.value)
        }
        #expect(finished.count <= 17)
    }

    @Test func timeIsUp() throws {
        let start = ContinuousClock.now
        var limits = Self.limits
        limits.maxRequests = 1
        var scheduler = Scheduler(rowCount: 256, limits: limits)
        for (id, queue, deadline) in [(1, 5, 20), (2, 10, 30), (3, 50, 15), (4, 100, 100)] {
            try scheduler.add(
                RequestState(
                    id: RequestID(UInt64(id)), prompt: [1], limits: .init(maxTokens: 100),
                    terms: .init(queueDeadline: start + .seconds(queue), deadline: start + .seconds(deadline))))
        }
        _ = scheduler.update(scheduler.schedule(), DrawnTokens([7]))
        func expired(_ seconds: Int) -> [UInt64] {
            scheduler.expire(at: start + .seconds(seconds)).map {
                $0.why == .deadline ? $0.id.value : 100 + $0.id.value
            }
        }
        #expect(expired(9) == [])
        #expect(expired(10) == [102])
        #expect(expired(15) == [3])
        #expect(expired(20) == [1])
        #expect(scheduler.waiting.map(\.id.value) == [4])
        #expect(scheduler.memory.usedCount == 0)
    }

    // MARK: Copies of shared rows

    /// A scheduler of 1,024 rows that has 101 tokens cached, and a request that shares 100 of them: the place behind them is
    /// taken, and so it copies the 36 of the last page when it decodes.
    private static func schedulerWithCopies(maxTokens: Int) throws -> Scheduler {
        let limits = SchedulerLimits(
            maxBatchedTokens: 1024, maxRequests: 4, maxQueuedRequests: 8, prefillChunk: nil, contextLength: 1024)
        var scheduler = Scheduler(rowCount: 1024, limits: limits)
        try scheduler.add(request(1, prompt: 101, maxTokens: 1))
        _ = scheduler.update(scheduler.schedule(), DrawnTokens([7]))
        let prompt = (0..<100).map { Int32($0) } + [200, 201]
        try scheduler.add(RequestState(id: RequestID(2), prompt: prompt, limits: .init(maxTokens: maxTokens)))
        _ = scheduler.update(scheduler.schedule(), DrawnTokens([7]))
        return scheduler
    }

    @Test func nobodyIsAdmittedIntoRowsThatCopiesTake() throws {
        var scheduler = try Self.schedulerWithCopies(maxTokens: 4)
        try scheduler.add(
            RequestState(
                id: RequestID(3), prompt: (0..<919).map { Int32(1000 + $0) }, limits: .init(maxTokens: 1)))
        var finished: Set<UInt64> = []
        for _ in 0..<20 where scheduler.hasWork {
            let output = scheduler.schedule()
            #expect(!output.isEmpty)
            let updates = scheduler.update(output, DrawnTokens(Array(repeating: 7, count: output.sampledCount)))
            finished.formUnion(updates.filter { $0.finishReason != nil }.map(\.id.value))
            #expect(scheduler.checkInvariants() == [])
        }
        #expect(finished == [2, 3])
    }

    @Test func whoFillsThePoolAloneGoesOnWithoutItsCopies() throws {
        var scheduler = try Self.schedulerWithCopies(maxTokens: 922)
        var (steps, copies) = (0, 0)
        while scheduler.hasWork, steps < 2000 {
            let output = scheduler.schedule()
            copies += output.copies.count
            try #require(!output.isEmpty, "step \(steps): the engine would sleep")
            _ = scheduler.update(output, DrawnTokens(Array(repeating: 7, count: output.sampledCount)))
            steps += 1
        }
        #expect(!scheduler.hasWork && scheduler.memory.usedCount == 0)
        #expect(copies == 36)
        #expect(scheduler.counters.preemptions == 1)
    }

    // MARK: Shared prefixes

    /// Cold and simultaneous: nothing of the common prefix is computed twice, whatever the chunks.
    @Test(arguments: [(512, nil), (64, nil), (100, 16), (512, 64), (7, nil)] as [(Int, Int?)])
    func aCommonPrefixIsComputedOnce(budget: Int, chunk: Int?) throws {
        let limits = SchedulerLimits(
            maxBatchedTokens: budget, maxRequests: 32, maxQueuedRequests: 32, prefillChunk: chunk, contextLength: 2000)
        var scheduler = Scheduler(rowCount: 8000, limits: limits)
        let prefix = (0..<1000).map { Int32($0 % 50) }
        var own = 0
        for id in 0..<32 {
            let tail = (0...id % 7).map { Int32(100 + id + $0) }
            own += tail.count
            try scheduler.add(
                RequestState(id: RequestID(UInt64(id)), prompt: prefix + tail, limits: .init(maxTokens: 1)))
        }
        var computed = 0
        while scheduler.hasWork {
            let output = scheduler.schedule()
            computed += output.tokenCount
            _ = scheduler.update(output, DrawnTokens(Array(repeating: 7, count: output.sampledCount)))
            #expect(scheduler.checkInvariants() == [])
        }
        #expect(computed == 1000 + own)
        #expect(scheduler.counters.prefixHits == 31 * 1000)
        #expect(scheduler.counters.peakRows < 1000 + own + 32)
    }

    @Test func aConversationComputesItsNewTurnsOnly() throws {
        var scheduler = Scheduler(
            rowCount: 2000,
            limits: .init(maxBatchedTokens: 64, maxRequests: 4, maxQueuedRequests: 8, contextLength: 1000))
        var history: [Int32] = []
        for turn in 0..<5 {
            let message = (0..<50).map { Int32(turn * 100 + $0) }
            try scheduler.add(
                RequestState(id: RequestID(UInt64(turn)), prompt: history + message, limits: .init(maxTokens: 30)))
            history += message
            var computed = 0
            while scheduler.hasWork {
                let output = scheduler.schedule()
                computed += output.tokenCount
                history += Array(repeating: 7, count: output.sampledCount)
                _ = scheduler.update(output, DrawnTokens(Array(repeating: 7, count: output.sampledCount)))
            }
            // The message, the answer without its last token, and the last token of the answer before.
            #expect(computed == 50 + 29 + (turn > 0 ? 1 : 0))
        }
    }

    // MARK: Drafts

    @Test func draftsAreAcceptedAsFarAsTheyAreRight() throws {
        var limits = Self.limits
        limits.maxSampledRows = 8
        var scheduler = Scheduler(rowCount: 256, limits: limits)
        try scheduler.add(Self.request(1, prompt: 5, maxTokens: 20))
        _ = scheduler.update(scheduler.schedule(), DrawnTokens([7]))
        // 8, 9 and 10 are right.
        scheduler.propose([8, 9, 10, 11], at: 0)
        var output = scheduler.schedule()
        #expect(Self.summary(output) == [[1, 5, 5]])
        #expect(output.sampledCount == 5)
        #expect(output.entries[0].firstSampledPosition == 6)
        var drawn = DrawnTokens()
        drawn.beginEntry()
        for token in Int32(8)...10 { drawn.append(token) }
        drawn.append(42)
        #expect(scheduler.update(output, drawn).map(\.token) == [8, 9, 10, 42])
        #expect(scheduler.running[0].tokens.suffix(5) == [7, 8, 9, 10, 42])
        // The wrong token's row is free again.
        #expect(scheduler.memory.usedCount == 9)
        #expect(scheduler.checkInvariants() == [])
        // Nobody is kept from a next token by another's draft, and no draft goes beyond the last token.
        scheduler.propose(Array(repeating: 1, count: 100), at: 0)
        output = scheduler.schedule()
        #expect(output.sampledCount == 5)
        _ = scheduler.update(output, DrawnTokens([7]))
        #expect(scheduler.memory.usedCount == 10)
    }

    @Test func stopTokensEndARequestAfterItsMinimum() throws {
        var scheduler = Scheduler(rowCount: 64, limits: Self.limits)
        try scheduler.add(
            RequestState(
                id: RequestID(1), prompt: [4], limits: .init(maxTokens: 10, minTokens: 2, stopTokens: [9])))
        var reasons: [FinishReason?] = []
        while scheduler.hasWork {
            let output = scheduler.schedule()
            reasons += scheduler.update(output, DrawnTokens([9])).map(\.finishReason)
        }
        #expect(reasons == [nil, nil, .stop])
    }

    @Test func aRequestWithoutATokenEndsAloneWithAnError() throws {
        var scheduler = Scheduler(rowCount: 64, limits: Self.limits)
        try scheduler.add(Self.request(1, prompt: 1))
        try scheduler.add(Self.request(2, prompt: 1))
        let output = scheduler.schedule()
        let updates = scheduler.update(output, DrawnTokens([nil, 5]))
        #expect(updates.map(\.finishReason) == [.error, nil])
        #expect(scheduler.running.map(\.id.value) == [2])
        #expect(scheduler.memory.usedCount == 1)
    }

    /// Logits that are no numbers may come of what is in the rows: nobody else gets these. A request that may choose no token has
    /// rows like any other.
    @Test(arguments: [false, true]) func whatMayBeWrongIsNotCached(isDistrusted: Bool) throws {
        var limits = Self.limits
        (limits.cachesPrefixes, limits.maxBatchedTokens) = (true, 64)
        var scheduler = Scheduler(rowCount: 256, limits: limits)
        // Another context branches off after 10 tokens.
        let other = (0..<10).map { Int32($0) } + [100, 101]
        try scheduler.add(RequestState(id: RequestID(1), prompt: other, limits: .init(maxTokens: 1)))
        _ = scheduler.update(scheduler.schedule(), DrawnTokens([7]))
        #expect(scheduler.memory.prefixes.rowCount == 12)
        try scheduler.add(Self.request(2, prompt: 30))
        let output = scheduler.schedule()
        #expect(Self.summary(output) == [[2, 10, 20]])
        if isDistrusted { scheduler.distrust(at: 0) }
        #expect(scheduler.update(output, DrawnTokens([nil])).map(\.finishReason) == [.error])
        #expect(scheduler.memory.prefixes.rowCount == (isDistrusted ? 12 : 32))
        #expect(scheduler.memory.usedCount == 0)
        #expect(scheduler.checkInvariants() == [])
        scheduler.clearPrefixCache()
        #expect(scheduler.memory.pool.freeCount == 256 && scheduler.memory.prefixes.nodeCount == 0)
    }

    /// Two that share wrong rows: the one that ends last takes them along.
    @Test func wrongRowsGoWithTheLastThatHasThem() throws {
        var limits = Self.limits
        (limits.cachesPrefixes, limits.maxBatchedTokens) = (true, 64)
        var scheduler = Scheduler(rowCount: 256, limits: limits)
        for id in 1...2 { try scheduler.add(Self.request(UInt64(id), prompt: 30)) }
        let output = scheduler.schedule()
        #expect(Self.summary(output) == [[1, 0, 30], [2, 29, 1]])
        for index in 0...1 { scheduler.distrust(at: index) }
        _ = scheduler.update(output, DrawnTokens([nil, nil]))
        #expect(scheduler.memory.prefixes.rowCount == 0 && scheduler.memory.prefixes.nodeCount == 0)
        #expect(scheduler.memory.pool.freeCount == 256)
        #expect(scheduler.checkInvariants() == [])
    }

    /// Random arrivals, prompts, lengths, priorities, drafts and aborts in a pool that is far too small, with and without
    /// cached prefixes: every step stays in its bounds, every request that isn't aborted gets exactly its tokens, and the
    /// pool is empty at the end.
    @Test(arguments: 1...40)
    func randomOperations(seed: UInt64) throws {
        var generator = TestGenerator(seed: seed)
        let maxRequests = 1 + generator.below(6)
        let limits = SchedulerLimits(
            maxBatchedTokens: 1 + generator.below(40), maxRequests: maxRequests,
            maxSampledRows: maxRequests + generator.below(5), maxQueuedRequests: 50,
            prefillChunk: generator.below(2) == 0 ? nil : 1 + generator.below(9), contextLength: 150,
            cachesPrefixes: seed % 2 == 0)
        let rowCount = 70 + generator.below(200)
        var scheduler = Scheduler(rowCount: rowCount, limits: limits)
        var expected: [RequestID: Int] = [:]
        var produced: [RequestID: Int] = [:]
        var nextID: UInt64 = 0
        var step = 0
        while step < 2000 || scheduler.hasWork {
            step += 1
            if step < 2000, generator.below(6) == 0 {
                let promptCount = 1 + generator.below(60)
                let maxTokens = 1 + generator.below(60)
                // Two tokens only: prefixes of all lengths are common.
                let prompt = (0..<promptCount).map { $0 % 7 == 0 ? Int32(generator.below(2)) : 3 }
                let request = RequestState(
                    id: RequestID(nextID), prompt: prompt, limits: .init(maxTokens: maxTokens),
                    terms: .init(
                        priority: generator.below(3), client: "\(generator.below(3))",
                        cacheSalt: "\(generator.below(2))"))
                if (try? scheduler.add(request)) != nil {
                    expected[request.id] = min(maxTokens, min(rowCount, limits.contextLength) - promptCount)
                }
                nextID += 1
            }
            if generator.below(30) == 0, let victim = expected.keys.sorted().randomElement(using: &generator) {
                scheduler.abort(victim)
                expected[victim] = nil
                produced[victim] = nil
            }
            for index in scheduler.running.indices where generator.below(3) == 0 {
                scheduler.propose((0..<generator.below(5)).map { _ in Int32(3 + generator.below(2)) }, at: index)
            }
            let output = scheduler.schedule(
                generator.below(2) == 0
                    ? .unlimited : PromptAllowance(Double(generator.below(20)), perToken: 1, perPosition: 0.1))
            if !checkBounds(output, limits) || output.isEmpty == scheduler.hasWork {
                Issue.record("step \(step) is out of bounds: \(output)")
                return
            }
            if generator.below(200) == 0 {
                for id in scheduler.fail(output) {
                    expected[id] = nil
                    produced[id] = nil
                }
            } else {
                // Forgets what is cached of its context when it ends.
                if generator.below(20) == 0, let entry = output.entries.first { scheduler.distrust(at: entry.index) }
                for update in scheduler.update(output, draw(output, scheduler.running, &generator)) {
                    produced[update.id, default: 0] += 1
                    guard update.finishReason != nil else { continue }
                    #expect(produced[update.id] == expected[update.id])
                    expected[update.id] = nil
                }
            }
            if !limits.cachesPrefixes {
                let used = scheduler.running.reduce(0) { $0 + $1.computedCount }
                if scheduler.memory.usedCount != used { Issue.record("\(used) rows are used") }
            }
            if step % 50 == 0 { #expect(scheduler.checkInvariants() == []) }
        }
        #expect(expected.isEmpty)
        #expect(scheduler.memory.usedCount == 0)
        #expect(scheduler.checkInvariants() == [])
        scheduler.clearPrefixCache()
        #expect(scheduler.memory.pool.freeCount == rowCount)
        #expect(scheduler.memory.prefixes.nodeCount == 0)
        #expect(scheduler.clientCount == 0)
        #expect(limits.cachesPrefixes == (scheduler.counters.prefixHits > 0))
    }

    private func checkBounds(_ output: SchedulerOutput, _ limits: SchedulerLimits) -> Bool {
        output.tokenCount <= limits.maxBatchedTokens && output.entries.count <= limits.maxRequests
            && output.sampledCount <= limits.maxSampledRows
            && output.entries.allSatisfy { entry in
                entry.count - max(0, entry.sampledCount - 1) <= limits.prefillChunk ?? .max
            }
    }

    /// Accepts random parts of drafts.
    private func draw(
        _ output: SchedulerOutput, _ running: [RequestState], _ generator: inout TestGenerator
    ) -> DrawnTokens {
        var drawn = DrawnTokens()
        for entry in output.entries where entry.sampledCount > 0 {
            drawn.beginEntry()
            for offset in 0..<entry.sampledCount {
                let token = Int32(3 + generator.below(2))
                drawn.append(token)
                guard running[entry.index].isDrafted(token, at: entry.firstSampledPosition + offset) else { break }
            }
        }
        return drawn
    }
}
