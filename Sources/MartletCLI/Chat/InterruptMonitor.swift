import Dispatch
import Foundation
import Synchronization

/// Turns Ctrl-C into a call while something runs, and into nothing at other times: the program goes on.
final class InterruptMonitor: Sendable {
    private let handler = Mutex<(@Sendable () -> Void)?>(nil)
    /// Touched when the monitor is made and when it goes, and never in between.
    private nonisolated(unsafe) let source: any DispatchSourceSignal

    init() {
        signal(SIGINT, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global())
        self.source = source
        source.setEventHandler { [weak self] in self?.handler.withLock { $0 }?() }
        source.resume()
    }

    deinit {
        source.cancel()
        signal(SIGINT, SIG_DFL)
    }

    /// Runs `body` in a task that Ctrl-C cancels.
    func run<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws -> Result {
        let task = Task { try await body() }
        handler.withLock { $0 = { task.cancel() } }
        defer { handler.withLock { $0 = nil } }
        return try await task.value
    }
}
