import Testing

@testable import Martlet

struct QueueGaugeTests {
    @Test func whatIsOnItsWayCounts() throws {
        let gauge = QueueGauge(room: 3)
        try gauge.enter(2)
        try gauge.enter(1)
        #expect(throws: EngineError.self) { try gauge.enter(1) }
        gauge.arrive(2)
        gauge.publish(room: 1)
        #expect(throws: EngineError.self) { try gauge.enter(1) }
        // Refused ones are on no way.
        gauge.arrive(1)
        try gauge.enter(1)
        gauge.arrive(1)
        gauge.publish(room: 3)
        try gauge.enter(3)
    }

    @Test func whoeverFindsItFullCanKnowBefore() throws {
        let gauge = QueueGauge(room: 2)
        try gauge.check()
        gauge.publish(room: 1)
        try gauge.check()
        try gauge.enter(1)
        #expect(throws: EngineError.self) { try gauge.check() }
        gauge.arrive(1)
        try gauge.check()
        gauge.publish(room: 0)
        #expect(throws: EngineError.self) { try gauge.check() }
    }
}
