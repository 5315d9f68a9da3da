import Foundation
import Synchronization

/// Does one piece of work after the other on a thread that can give way to all others: what one request needs for itself, and what
/// would hold up the next tokens of the others and the answers to new ones.
///
/// There are threads only while there is work: a priority that was lowered can't be raised again, so each is nobody else's.
final class QuietThread: Sendable {
    private struct State {
        var work: [@Sendable () -> Void] = []
        /// There is a thread.
        var isRunning = false
    }

    private let state = Mutex(State())

    /// Added to the process's nice value. On a processor that the engine wants as well this is a tenth of it, and all of it where
    /// the engine waits.
    private static let niceness: Int32 = 10

    /// Does something behind what was asked for before. It has the usual priority, and does `quietly` what takes long and holds no
    /// lock that others wait for.
    ///
    /// - Returns: nil where its turn did not come before the task was cancelled or `deadline` was there.
    func run<Value: Sendable>(
        until deadline: ContinuousClock.Instant? = nil, _ body: @escaping @Sendable () -> Value
    ) async -> Value? {
        let turn = Turn<Value>()
        if let deadline {
            let left = max(0, (deadline - .now).seconds)
            DispatchQueue.global().asyncAfter(deadline: .now() + left) { turn.giveUp() }
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                turn.await(continuation)
                // Who waits is woken by a thread of usual priority: waking may make a thread of a pool, which inherits it.
                enqueue { turn.take()?.resume(returning: body()) }
            }
        } onCancel: {
            turn.giveUp()
        }
    }

    private func enqueue(_ body: @escaping @Sendable () -> Void) {
        let isFirst = state.withLock { state in
            state.work.append(body)
            defer { state.isRunning = true }
            return !state.isRunning
        }
        guard isFirst else { return }
        let thread = Thread { while let body = self.next() { body() } }
        thread.name = "martlet-work"
        thread.start()
    }

    private func next() -> (@Sendable () -> Void)? {
        state.withLock { state in
            state.isRunning = !state.work.isEmpty
            return state.isRunning ? state.work.removeFirst() : nil
        }
    }

    /// Does something on a thread of low priority, and waits for it.
    static func quietly<Value: Sendable, Failure: Error>(
        _ body: @escaping @Sendable () throws(Failure) -> Value
    ) throws(Failure) -> Value {
        // Grammars nest.
        try Background<Value, Failure>(name: "martlet-quiet", stackSize: 8 << 20) { () throws(Failure) in
            lowerPriority()
            return try body()
        }.value()
    }

    /// What waits for its turn, until it comes or nobody wants it any more.
    private final class Turn<Value: Sendable>: Sendable {
        private enum State {
            case new, over
            case waiting(CheckedContinuation<Value?, Never>)
        }

        private let state = Mutex(State.new)

        func await(_ continuation: CheckedContinuation<Value?, Never>) {
            let isOver = state.withLock { state in
                if case .over = state { return true }
                state = .waiting(continuation)
                return false
            }
            if isOver { continuation.resume(returning: nil) }
        }

        func take() -> CheckedContinuation<Value?, Never>? {
            state.withLock { state in
                defer { state = .over }
                return if case .waiting(let continuation) = state { continuation } else { nil }
            }
        }

        func giveUp() { take()?.resume(returning: nil) }
    }

    /// Of this thread: to Linux a thread is a process with its own (setpriority(2), "C library/kernel differences").
    private static func lowerPriority() {
        errno = 0
        let which = __priority_which_t(PRIO_PROCESS.rawValue)
        let ofProcess = getpriority(which, id_t(getpid()))
        guard errno == 0 else { return }
        _ = setpriority(which, 0, min(ofProcess + niceness, 19))
    }
}
