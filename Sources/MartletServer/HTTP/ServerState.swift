import Martlet
import MartletJinja
import Synchronization

/// How far a server has come: it loads its model, serves it, and finishes what runs when it is told to stop.
final class ServerState: Sendable {
    private struct State {
        /// Part of the model that is loaded, 0 to 1.
        var progress = 0.0
        var model: ServedModel?
        var isDraining = false
    }

    private let start = ContinuousClock.now
    private let state = Mutex(State())

    /// The model's part that is loaded.
    ///
    /// - Parameter progress: 0 to 1.
    func load(_ progress: Double) { state.withLock { $0.progress = min(max(progress, $0.progress), 1) } }

    func serve(_ model: ServedModel) { state.withLock { $0.model = model } }

    func beginDraining() { state.withLock { $0.isDraining = true } }

    /// Nil until it is loaded.
    var loadedModel: ServedModel? { state.withLock { $0.model } }

    /// - Throws: 503 while the model is being loaded, or where the server shuts down before it is.
    func model() throws(APIError) -> ServedModel {
        let now = state.withLock { $0 }
        if let model = now.model { return model }
        guard !now.isDraining else { throw .shuttingDown }
        var error = APIError(503, "The model is being loaded. Please try again later.", code: "service_unavailable")
        error.type = "server_error"
        error.retryAfterSeconds = Self.secondsLeft(progress: now.progress, after: ContinuousClock.now - start)
        throw error
    }

    /// - Throws: 503 while the server shuts down.
    func checkDraining() throws(APIError) {
        guard !state.withLock({ $0.isDraining }) else { throw .shuttingDown }
    }

    /// - Throws: 503 unless requests are served.
    func checkReadiness() throws(APIError) {
        _ = try model()
        try checkDraining()
    }

    /// What `/health` answers: that the server runs, whatever it does.
    var health: Value {
        let now = state.withLock { $0 }
        if now.isDraining { return .dictionary([("status", .string("draining"))]) }
        if now.model != nil { return Self.ok }
        return .dictionary([("status", .string("loading")), ("progress", .float(now.progress))])
    }

    static let ok = Value.dictionary([("status", .string("ok"))])

    /// As the part that is loaded took so long, so will the rest: 1 to 60 s.
    static func secondsLeft(progress: Double, after time: Duration) -> Int {
        guard progress > 0 else { return 1 }
        return Int(min(max((time.seconds * (1 - progress) / progress).rounded(.up), 1), 60))
    }
}

extension APIError {
    static var shuttingDown: APIError {
        var error = APIError(503, "The server is shutting down.", code: "service_unavailable")
        error.type = "server_error"
        return error
    }
}
