import Synchronization

/// Requests that end for reasons that the engine's thread doesn't see: cancelled by their readers, or by a stop string in
/// their text. Filled from any thread, emptied by the engine before each step.
final class EndingList: Sendable {
    struct Ending: Sendable {
        var id: RequestID
        var reason: FinishReason
    }

    private let endings = Mutex<[Ending]>([])

    func insert(_ id: RequestID, _ reason: FinishReason) {
        endings.withLock { $0.append(Ending(id: id, reason: reason)) }
    }

    func removeAll() -> [Ending] {
        endings.withLock { endings in
            if endings.isEmpty { return [] }
            defer { endings = [] }
            return endings
        }
    }
}
