import Synchronization

/// Tells whether the queue has room without asking the engine, which answers only between two steps: who finds it full learns
/// so at once. The engine itself has the last word.
final class QueueGauge: Sendable {
    /// Requests that may come, as of the last step or submission; negative where others took the places that they came for.
    private let room: Atomic<Int>
    /// Requests on their way to the engine.
    private let coming = Atomic(0)

    init(room: Int) { self.room = Atomic(room) }

    /// - Throws: `queueFull` where not even one request has a place.
    func check() throws(EngineError) {
        guard coming.load(ordering: .relaxed) < room.load(ordering: .relaxed) else { throw Self.full }
    }

    /// Announces requests.
    ///
    /// - Throws: `queueFull`.
    func enter(_ count: Int) throws(EngineError) {
        guard coming.add(count, ordering: .relaxed).newValue > room.load(ordering: .relaxed) else { return }
        coming.subtract(count, ordering: .relaxed)
        throw Self.full
    }

    private static var full: EngineError {
        EngineError(.queueFull, "too many requests are waiting already; try again later")
    }

    /// The requests have come.
    func arrive(_ count: Int) { coming.subtract(count, ordering: .relaxed) }

    func publish(room count: Int) { room.store(count, ordering: .relaxed) }
}
