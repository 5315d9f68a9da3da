import Foundation
import Testing

@testable import Martlet

struct QuietThreadTests {
    @Test func workIsDoneOneAfterTheOtherOnAThreadThatGivesWay() async {
        let thread = QuietThread()
        let own = Self.niceness(of: getpid())
        let running = Counter()
        let results = await withTaskGroup(of: (Int, Int32, Int).self) { group in
            for index in 0..<20 {
                group.addTask {
                    await thread.run {
                        let company = running.enter()
                        Thread.sleep(forTimeInterval: 0.001)
                        running.leave()
                        return (index, Self.niceness(of: 0), company)
                    }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(Set(results.map(\.0)) == Set(0..<20))
        #expect(results.allSatisfy { $0.1 == min(own + 10, 19) })
        #expect(results.allSatisfy { $0.2 == 1 }, "never two at a time")
        #expect(Self.niceness(of: getpid()) == own)
        // And again once there was nothing to do.
        #expect(await thread.run { 5 } == 5)
    }

    /// Of a process; of this thread for 0.
    private static func niceness(of process: pid_t) -> Int32 {
        getpriority(__priority_which_t(PRIO_PROCESS.rawValue), id_t(process))
    }

    private final class Counter: @unchecked Sendable {
        private let lock = NSLock()
        private var count = 0

        func enter() -> Int {
            lock.withLock {
                count += 1
                return count
            }
        }

        func leave() { lock.withLock { count -= 1 } }
    }
}
