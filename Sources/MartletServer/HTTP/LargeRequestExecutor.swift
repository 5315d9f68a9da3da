import Dispatch
import Foundation
import Synchronization

/// Runs what large requests need. To parse and to tokenize megabytes holds a thread for up to a second, and the cooperative pool,
/// which answers everybody, has one for each processor: here large requests wait for one another, and nobody for them.
final class LargeRequestExecutor: TaskExecutor {
    /// Serial queues have threads of their own; concurrent ones share the pool's (libdispatch gives both the root queue that does
    /// not overcommit).
    private let queues = (0..<max(1, ProcessInfo.processInfo.activeProcessorCount / 2)).map { _ in
        DispatchQueue(label: "martlet-large-requests")
    }
    private let count = Atomic(0)

    /// From so many bytes on a body is large: below, it holds a thread for some milliseconds.
    static let threshold = 256 << 10

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let index = count.wrappingAdd(1, ordering: .relaxed).oldValue & Int.max
        queues[index % queues.count].async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
