import Synchronization

/// The lists of prompts of which not all are with the engine yet. Draining waits for them, and takes what they still bring.
final class OpenLists: Sendable {
    private struct State {
        var turns: Set<SharedTurn> = []
        var takesMore = true
    }

    private let state = Mutex(State())

    /// Nothing happens once there are no more lists.
    func begin(_ turn: SharedTurn) { state.withLock { if $0.takesMore { $0.turns.insert(turn) } } }

    func end(_ turn: SharedTurn) { state.withLock { _ = $0.turns.remove(turn) } }

    /// There are no more lists than those that have begun.
    func close() { state.withLock { $0.takesMore = false } }

    /// There are no lists any more.
    func removeAll() { state.withLock { $0 = State(takesMore: false) } }

    func contains(_ turn: SharedTurn?) -> Bool {
        turn.map { turn in state.withLock { $0.turns.contains(turn) } } ?? false
    }

    var isEmpty: Bool { state.withLock { $0.turns.isEmpty } }
}
