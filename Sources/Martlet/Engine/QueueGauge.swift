import Synchronization

/// Tells whether the queue has room without asking the engine, which answers only between two steps: who finds it full learns
/// so at once. The engine itself has the last word.
final class QueueGauge: Sendable {
    private let limit: Int
    /// Requests that wait and never ran, as of the last step or submission.
    private let waiting = Atomic(0)
    /// Requests on their way to the engine.
    private let coming = Atomic(0)

    init(limit: Int) { self.limit = limit }

    /// - Throws: `queueFull` where not even one request has a place.
    func check() throws(EngineError) {
        let total = waiting.load(ordering: .relaxed) + coming.load(ordering: .relaxed)
        guard total < limit else { throw Self.full(total) }
    }

    /// Announces requests.
    ///
    /// - Throws: `queueFull`.
    func enter(_ count: Int) throws(EngineError) {
        let total = waiting.load(ordering: .relaxed) + coming.add(count, ordering: .relaxed).newValue
        guard total > limit else { return }
        coming.subtract(count, ordering: .relaxed)
        throw Self.full(total - count)
    }

    private static func full(_ count: Int) -> EngineError {
        EngineError(.queueFull, "\(count) requests are waiting already; try again later")
    }

    /// The requests have come.
    func arrive(_ count: Int) { coming.subtract(count, ordering: .relaxed) }

    func publish(waiting count: Int) { waiting.store(count, ordering: .relaxed) }
}
