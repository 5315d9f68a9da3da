import Dispatch
import Foundation
import Synchronization

/// Threads that find out masks of structured answers while the engine's thread computes.
final class MaskThreads: Sendable {
    /// Serial queues have threads of their own. Concurrent ones share those of Swift's tasks (libdispatch gives both the root queue
    /// that does not overcommit): masks and the answers of HTTP would wait for each other.
    private let queues = (0..<max(2, ProcessInfo.processInfo.activeProcessorCount / 2)).map { _ in
        DispatchQueue(label: "martlet-masks")
    }
    /// Masks that each has to find out.
    private let loads: Mutex<[Int]>

    init() { loads = Mutex(Array(repeating: 0, count: queues.count)) }

    /// Does some work where the least is to be done: a mask that takes long holds up as few others as can be.
    ///
    /// - Parameter group: has the work until it is done.
    func run(in group: DispatchGroup?, _ body: @escaping @Sendable () -> Void) {
        let index = loads.withLock { loads in
            let index = loads.indices.min { loads[$0] < loads[$1] } ?? 0
            loads[index] += 1
            return index
        }
        queues[index].async(group: group) {
            body()
            self.loads.withLock { $0[index] -= 1 }
        }
    }
}
