import Foundation
import Synchronization
import Testing

@testable import MartletServer

@Suite struct LargeRequestExecutorTests {
    private final class Flags: Sendable {
        let isSet = Atomic(false)
        let missed = Atomic(0)
    }

    /// More jobs than the cooperative pool has threads keep theirs busy until another task has run.
    @Test func othersRunWhileLargeRequestsHoldTheirThreads() async {
        let executor = LargeRequestExecutor()
        let flags = Flags()
        await withTaskGroup { group in
            for _ in 0..<2 * ProcessInfo.processInfo.activeProcessorCount + 1 {
                group.addTask(executorPreference: executor) {
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
        }
        #expect(flags.missed.load(ordering: .relaxed) == 0)
    }
}
