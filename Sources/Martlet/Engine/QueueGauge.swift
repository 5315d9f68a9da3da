import Synchronization

/// The places in the queue, known without asking the engine, which answers only between two steps: who finds the queue full
/// learns so at once, and who has got a place keeps it.
///
/// A place may go while its request is on its way, when a step begins that lets fewer requests run than it seemed. The engine
/// takes the request all the same, for it could say no only behind that step. So up to `maxRequests` more may wait than
/// should, and nobody new comes until they are gone.
final class QueueGauge: Sendable {
    private struct Places {
        /// Requests that may come, as of the last step or submission; negative where others took the places that they came for.
        var room: Int
        /// Requests with a place, on their way to the engine.
        var coming = 0
    }

    // Both at once: who has come is in the room that is left.
    private let places: Mutex<Places>

    init(room: Int) { places = Mutex(Places(room: room)) }

    /// - Throws: `queueFull` where not even one request has a place.
    func check() throws(EngineError) {
        guard places.withLock({ $0.room > $0.coming }) else { throw Self.full }
    }

    /// Gets places. They are given back by `publish` when the engine has the requests, or else by `leave`.
    ///
    /// - Throws: `queueFull` where there are fewer; none is taken then.
    func enter(_ count: Int) throws(EngineError) {
        let isIn = places.withLock { places in
            guard count <= places.room - places.coming else { return false }
            places.coming += count
            return true
        }
        guard isIn else { throw Self.full }
    }

    /// Gives places back that nobody comes for.
    func leave(_ count: Int) { places.withLock { $0.coming -= count } }

    /// What room is left, now that some of those on their way have come.
    func publish(room: Int, arrived count: Int = 0) {
        places.withLock { $0 = Places(room: room, coming: $0.coming - count) }
    }

    private static var full: EngineError {
        EngineError(.queueFull, "too many requests are waiting already; try again later")
    }
}
