import Foundation
import Testing

@testable import Martlet

struct QuietThreadTests {
    private struct Finding: Sendable {
        let index: Int
        /// Threads that work, and their nice value, where it is quiet and where it is not.
        let company: Int
        let quiet: Int32
        let usual: Int32
    }

    @Test func workIsDoneOneAfterTheOtherAndGivesWayWhereItIsQuiet() async {
        let thread = QuietThread()
        let own = Self.niceness(of: getpid())
        let running = Counter()
        let results = await withTaskGroup(of: Finding?.self, returning: [Finding].self) { group in
            for index in 0..<20 {
                group.addTask {
                    await thread.run {
                        let company = running.enter()
                        defer { running.leave() }
                        let quiet = QuietThread.quietly {
                            Thread.sleep(forTimeInterval: 0.001)
                            return Self.niceness(of: 0)
                        }
                        return Finding(index: index, company: company, quiet: quiet, usual: Self.niceness(of: 0))
                    }
                }
            }
            return await group.reduce(into: []) { if let result = $1 { $0.append(result) } }
        }
        #expect(Set(results.map(\.index)) == Set(0..<20))
        #expect(results.allSatisfy { $0.quiet == min(own + 10, 19) })
        #expect(results.allSatisfy { $0.usual == own }, "locks that others wait for are held here")
        #expect(results.allSatisfy { $0.company == 1 }, "never two at a time")
        #expect(Self.niceness(of: getpid()) == own)
        // And again once there was nothing to do.
        #expect(await thread.run { 5 } == 5)
    }

    @Test func whatNobodyWantsAnyMoreIsNotDone() async {
        let thread = QuietThread()
        let (gate, runs) = (DispatchSemaphore(value: 0), Counter())
        let (begun, continuation) = AsyncStream<Void>.makeStream()
        async let first = thread.run {
            continuation.finish()
            gate.wait()
        }
        for await _ in begun {}
        let cancelled = Task { await thread.run { runs.enter() } }
        let late = Task { await thread.run(until: .now + .milliseconds(20)) { runs.enter() } }
        let last = Task { await thread.run { runs.enter() } }
        #expect(await late.value == nil)
        cancelled.cancel()
        #expect(await cancelled.value == nil)
        gate.signal()
        #expect(await last.value == 1)
        #expect(await first != nil)
        // The task was cancelled before.
        let early = Task {
            while !Task.isCancelled { await Task.yield() }
            return await thread.run { runs.enter() }
        }
        early.cancel()
        #expect(await early.value == nil)
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
