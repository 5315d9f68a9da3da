import Synchronization
import Testing

@testable import Martlet

/// Lists of prompts and texts on an engine that others use as well.
@Suite(.timeLimit(.minutes(1))) struct ListTests {
    /// A queue with so many places.
    private final class Places: Sendable {
        private struct State {
            var free: Int
            var most = 0
            var refusals = 0
        }
        private let state: Mutex<State>
        private let count: Int

        init(_ count: Int) {
            self.count = count
            state = Mutex(State(free: count))
        }

        var most: Int { state.withLock { $0.most } }
        var refusals: Int { state.withLock { $0.refusals } }

        func work(_ index: Int) async throws -> Int {
            try state.withLock { state in
                guard state.free > 0 else {
                    state.refusals += 1
                    throw EngineError(.queueFull, "full")
                }
                state.free -= 1
                state.most = max(state.most, count - state.free)
            }
            for _ in 0..<index % 7 { await Task.yield() }
            state.withLock { $0.free += 1 }
            return 10 * index
        }
    }

    @Test func whatIsRefusedInTheMiddleIsDoneLater() async throws {
        let places = Places(3)
        let values = try await LLM.map(placesOf: 200, atOnce: 8) { try await places.work($0) }
        #expect(values == (0..<200).map { 10 * $0 })
        #expect(places.most == 3 && places.refusals > 0)
    }

    @Test func noMoreAreDoneAtATimeThanMay() async throws {
        let places = Places(100)
        #expect(try await LLM.map(placesOf: 50, atOnce: 4) { try await places.work($0) }.count == 50)
        #expect((1...4).contains(places.most))
        // At least one, whatever is asked for.
        #expect(try await LLM.map(placesOf: 3, atOnce: 0) { try await places.work($0) } == [0, 10, 20])
        #expect(try await LLM.map(placesOf: 0, atOnce: 4) { try await places.work($0) } == [])
    }

    @Test func whereThereIsNoPlaceAtAllTheListIsRefused() async throws {
        let places = Places(0)
        let error = await #expect(throws: EngineError.self) {
            try await LLM.map(placesOf: 5, atOnce: 2) { try await places.work($0) }
        }
        #expect(error?.code == .queueFull)
    }

    @Test func anErrorEndsTheOthersAndCancellationIsTold() async throws {
        struct Failure: Error {}
        await #expect(throws: Failure.self) {
            try await LLM.map(placesOf: 5, atOnce: 5) { index in
                if index == 3 { throw Failure() }
                while true { try await Task.sleep(for: .milliseconds(1)) }
            }
        }
        let cancelled = Task {
            try await LLM.map(placesOf: 2, atOnce: 2) { _ in
                while !Task.isCancelled { await Task.yield() }
                // The engine knows no other word for it.
                throw EngineError(.deadlineExceeded, "the request was cancelled")
            }
        }
        cancelled.cancel()
        await #expect(throws: CancellationError.self) { try await cancelled.value }
    }
}
