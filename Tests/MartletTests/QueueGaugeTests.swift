import Dispatch
import Synchronization
import Testing

@testable import Martlet

struct QueueGaugeTests {
    @Test func whatIsOnItsWayCounts() throws {
        let gauge = QueueGauge(room: 3)
        try gauge.enter(2)
        try gauge.enter(1)
        #expect(throws: EngineError.self) { try gauge.enter(1) }
        gauge.publish(room: 1, arrived: 2)
        #expect(throws: EngineError.self) { try gauge.enter(1) }
        gauge.leave(1)
        try gauge.enter(1)
        gauge.publish(room: 3, arrived: 1)
        try gauge.enter(3)
    }

    @Test func whoeverFindsItFullCanKnowBefore() throws {
        let gauge = QueueGauge(room: 2)
        try gauge.check()
        gauge.publish(room: 1)
        try gauge.check()
        try gauge.enter(1)
        #expect(throws: EngineError.self) { try gauge.check() }
        gauge.leave(1)
        try gauge.check()
        gauge.publish(room: 0)
        #expect(throws: EngineError.self) { try gauge.check() }
    }

    /// However much a request wants that is refused, others find the places that there are.
    @Test func whoIsRefusedTakesNothingEvenForAMoment() {
        let gauge = QueueGauge(room: 10)
        let refused = Atomic(0)
        DispatchQueue.concurrentPerform(iterations: 2) { index in
            for _ in 0..<50_000 {
                do {
                    let count = index == 0 ? 1000 : 1
                    try gauge.enter(count)
                    gauge.leave(count)
                } catch {
                    refused.add(index, ordering: .relaxed)
                }
            }
        }
        #expect(refused.load(ordering: .relaxed) == 0)
    }

    /// It would hear of a refusal only behind a step.
    @Test(.timeLimit(.minutes(1))) func theEngineKeepsWhatTheGaugePromised() async throws {
        var options = EngineOptions()
        (options.maxRequests, options.maxQueuedRequests) = (1, 1)
        let engine = try LLMEngineTests.engine(
            FakeModel(rowCount: 100_000), contextLength: 100_000, options: options)
        let endless = LLMEngineTests.parameters(maxTokens: nil)
        try engine.gauge.enter(1)
        // Others take all places before it comes.
        var streams: [AsyncThrowingStream<RequestOutput, any Error>] = []
        for token in Int32(1)...2 { streams.append(try await engine.submit(EngineRequest([token], endless))) }
        let refusal = await #expect(throws: EngineError.self) { try await engine.submit(EngineRequest([3], endless)) }
        #expect(refusal?.code == .queueFull)
        let promised = try await engine.submit(EngineRequest([4], LLMEngineTests.parameters(maxTokens: 1)), places: 1)
        #expect(throws: EngineError.self) { try engine.gauge.check() }
        streams.removeAll()
        #expect(try await Answer(promised).tokens.count == 1)
        try await LLMEngineTests.drained(engine)
        // Every place is there again.
        try engine.gauge.enter(2)
        #expect(throws: EngineError.self) { try engine.gauge.check() }
    }
}
