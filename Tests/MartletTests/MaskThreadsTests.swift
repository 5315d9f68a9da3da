import Dispatch
import Foundation
import Synchronization
import Testing

@testable import Martlet

struct MaskThreadsTests {
    private final class Flags: Sendable {
        let isSet = Atomic(false)
        let missed = Atomic(0)
    }

    private final class Log: Sendable {
        let done = Mutex<[Int]>([])
    }

    /// More masks than the cooperative pool has threads keep theirs busy until a task has run.
    @Test func masksTakeNoThreadsFromTasks() async {
        let (threads, flags) = (MaskThreads(), Flags())
        let group = DispatchGroup()
        for index in 0..<2 * ProcessInfo.processInfo.activeProcessorCount + 1 {
            threads.run(for: RequestID(UInt64(index)), in: group) {
                let deadline = ContinuousClock.now + .seconds(10)
                while !flags.isSet.load(ordering: .relaxed) {
                    guard ContinuousClock.now < deadline else {
                        flags.missed.add(1, ordering: .relaxed)
                        return
                    }
                }
            }
        }
        await Task { flags.isSet.store(true, ordering: .relaxed) }.value
        await withCheckedContinuation { continuation in
            group.notify(queue: .global()) { continuation.resume() }
        }
        #expect(flags.missed.load(ordering: .relaxed) == 0)
    }

    @Test func oneRequestsMasksComeInOrder() async {
        let threads = MaskThreads()
        let group = DispatchGroup()
        let log = Log()
        for index in 0..<100 {
            threads.run(for: RequestID(7, choice: 3), in: group) { log.done.withLock { $0.append(index) } }
        }
        await withCheckedContinuation { continuation in
            group.notify(queue: .global()) { continuation.resume() }
        }
        #expect(log.done.withLock { $0 } == Array(0..<100))
    }
}
