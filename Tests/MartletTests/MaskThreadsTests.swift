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

    /// More masks than the cooperative pool has threads keep theirs busy until a task has run.
    @Test func masksTakeNoThreadsFromTasks() async {
        let (threads, flags) = (MaskThreads(), Flags())
        let group = DispatchGroup()
        for _ in 0..<2 * ProcessInfo.processInfo.activeProcessorCount + 1 {
            threads.run(in: group) {
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

    /// While one takes long, the others go where there is less to do.
    @Test func aSlowMaskHoldsUpNoOther() {
        let threads = MaskThreads()
        let (slow, others) = (DispatchGroup(), DispatchGroup())
        let end = DispatchSemaphore(value: 0)
        threads.run(in: slow) { end.wait() }
        for _ in 0..<100 {
            threads.run(in: others) {}
            #expect(others.wait(timeout: .now() + 10) == .success)
        }
        end.signal()
        #expect(slow.wait(timeout: .now() + 10) == .success)
    }
}
