import Dispatch
import Foundation

/// Threads that find out masks of structured answers while the engine's thread computes.
struct MaskThreads: Sendable {
    /// Serial queues have threads of their own. Concurrent ones share those of Swift's tasks (libdispatch gives both the root queue
    /// that does not overcommit): masks and the answers of HTTP would wait for each other.
    private let queues = (0..<max(2, ProcessInfo.processInfo.activeProcessorCount / 2)).map { _ in
        DispatchQueue(label: "martlet-masks")
    }

    /// Does some work for a request. What it has for one request is done in order.
    ///
    /// - Parameter group: has the work until it is done.
    func run(for id: RequestID, in group: DispatchGroup?, _ body: @escaping @Sendable () -> Void) {
        let number = id.value &+ UInt64(truncatingIfNeeded: id.choice)
        queues[Int(number % UInt64(queues.count))].async(group: group, execute: body)
    }
}
