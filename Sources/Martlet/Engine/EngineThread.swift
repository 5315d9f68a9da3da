import Foundation

/// An actor's own thread: runs the actor's jobs in order and, between them, its steps.
///
/// A step takes a processor for milliseconds; on the cooperative pool it would hold up whatever else the program does,
/// and there its start would depend on the others.
final class EngineThread: SerialExecutor, @unchecked Sendable {
    // Guards everything below.
    private let condition = NSCondition()
    private var jobs: [UnownedJob] = []
    private var hasWork = false
    private var isStopped = false
    private var thread: Thread?

    /// Starts the thread.
    ///
    /// - Parameter step: called again and again on the thread: until it returns false, and then after every job and
    ///   every `wake`.
    func start(name: String, step: @escaping @Sendable () -> Bool) {
        let thread = Thread { self.run(step) }
        thread.name = name
        condition.withLock { self.thread = thread }
        thread.start()
    }

    /// Ends the thread once the jobs that are enqueued are done. There must be no later ones.
    func stop() {
        condition.withLock {
            isStopped = true
            condition.signal()
        }
    }

    /// Makes the thread take a step.
    func wake() {
        condition.withLock {
            hasWork = true
            condition.signal()
        }
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        condition.withLock {
            jobs.append(job)
            hasWork = true
            condition.signal()
        }
    }

    func isIsolatingCurrentContext() -> Bool? {
        condition.withLock { thread === Thread.current }
    }

    func checkIsolated() {
        precondition(isIsolatingCurrentContext() == true, "not on the engine's thread")
    }

    private func run(_ step: () -> Bool) {
        var batch: [UnownedJob] = []
        var goesOn = false
        while true {
            condition.lock()
            while jobs.isEmpty && !hasWork && !goesOn && !isStopped { condition.wait() }
            swap(&jobs, &batch)
            hasWork = false
            let isLast = isStopped
            condition.unlock()

            for job in batch { job.runSynchronously(on: asUnownedSerialExecutor()) }
            batch.removeAll(keepingCapacity: true)
            if isLast { return }
            goesOn = step()
        }
    }
}
