import CKernels
import Glibc
import Synchronization

/// Threads that walk a plan in lockstep: the caller is worker 0, the others wait for it.
///
/// A decode step has a few hundred kernel calls of some microseconds each, so meeting between two of them must cost well
/// under one: workers spin for a while on a word of their own cache line, and only then sleep in a futex. Everything is
/// one C function pointer and one context pointer: no closure, no ARC, no allocation.
final class WorkerPool: @unchecked Sendable {
    typealias Body = @convention(c) (_ context: UnsafeMutableRawPointer, _ worker: Int) -> Void

    let count: Int

    /// Words that different workers write lie this far apart, so that they never share a (prefetched pair of) cache line.
    private static let lineStride = 128

    private let block: UnsafeMutableRawPointer
    /// Number of walks started; odd things such as stopping are announced through it too.
    private let epoch: UnsafeMutablePointer<Atomic<UInt32>>
    let lockstep: Lockstep

    private var body: Body?
    private var context: UnsafeMutableRawPointer?
    private var isStopping = false
    /// The processor of each worker; empty if they are free to move.
    private let processors: [Int32]
    private var callerIsPinned = false
    private var threads: [pthread_t] = []

    /// - Parameters:
    ///   - count: workers in all, the caller included.
    ///   - isPinned: keeps each worker on a processor of its own, as far as there are enough.
    init(count: Int, isPinned: Bool = false) {
        precondition(count > 0)
        self.count = count
        processors = isPinned ? Self.usableProcessors() : []
        let block = UnsafeMutableRawPointer.allocate(byteCount: 5 * Self.lineStride, alignment: Self.lineStride)
        self.block = block
        func word<Value>(_ index: Int, _ value: Value) -> UnsafeMutablePointer<Atomic<Value>>
        where Value: AtomicRepresentable {
            let pointer = (block + index * Self.lineStride).bindMemory(to: Atomic<Value>.self, capacity: 1)
            pointer.initialize(to: Atomic(value))
            return pointer
        }
        epoch = word(0, 0)
        lockstep = Lockstep(
            count: count, generation: word(1, 0), arrived: word(2, 0), sleepers: word(3, 0), cursor: word(4, 0))
        for worker in 1..<max(count, 1) {
            // The pool outlives its threads (deinit joins them), so they hold it unretained; a strong reference would
            // keep deinit from ever running.
            let start = UnsafeMutablePointer<(Unmanaged<WorkerPool>, Int)>.allocate(capacity: 1)
            start.initialize(to: (Unmanaged.passUnretained(self), worker))
            var thread = pthread_t()
            let status = pthread_create(
                &thread, nil,
                { raw in
                    guard let start = raw?.assumingMemoryBound(to: (Unmanaged<WorkerPool>, Int).self) else {
                        return nil
                    }
                    let (pool, worker) = start.move()
                    start.deallocate()
                    pool._withUnsafeGuaranteedRef { $0.serve(worker) }
                    return nil
                }, start)
            precondition(status == 0, "pthread_create: \(status)")
            threads.append(thread)
        }
    }

    deinit {
        isStopping = true
        epoch.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        ck_futex_wake(epoch, Int32.max)
        for thread in threads { pthread_join(thread, nil) }
        block.deallocate()
    }

    /// Runs `body(context, worker)` on every worker and returns when all have passed its last barrier.
    func run(_ context: UnsafeMutableRawPointer, _ body: Body) {
        if count > 1 {
            self.body = body
            self.context = context
            epoch.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
            if lockstep.hasSleepers { ck_futex_wake(epoch, Int32.max) }
        }
        body(context, 0)
        lockstep.barrier()
    }

    private static func usableProcessors() -> [Int32] {
        [Int32](unsafeUninitializedCapacity: 1024) { buffer, count in
            count = Int(ck_usable_processors(buffer.baseAddress, 1024))
        }
    }

    private func pin(_ worker: Int) {
        if !processors.isEmpty { ck_pin_thread(processors[worker % processors.count]) }
    }

    /// Pins worker 0, the calling thread, once: where steps run, which need not be where the model was loaded.
    func pinCaller() {
        guard !callerIsPinned else { return }
        callerIsPinned = true
        pin(0)
    }

    private func serve(_ worker: Int) {
        pin(worker)
        var seen: UInt32 = 0
        while true {
            lockstep.wait(epoch, while: seen)
            seen &+= 1
            if isStopping { return }
            if let body, let context {
                body(context, worker)
                lockstep.barrier()
            }
        }
    }
}

extension WorkerPool {
    /// Runs `body` for 0 ..< `items`, shared among the workers. For loading, where a closure's cost does not matter.
    func forEach(_ items: Int, _ body: @Sendable (_ item: Int, _ worker: Int) -> Void) {
        withoutActuallyEscaping(body) { escaping in
            var job = (lockstep: lockstep, items: items, body: escaping)
            withUnsafeMutablePointer(to: &job) { pointer in
                run(UnsafeMutableRawPointer(pointer)) { raw, worker in
                    let job = raw.assumingMemoryBound(
                        to: (lockstep: Lockstep, items: Int, body: @Sendable (Int, Int) -> Void).self
                    ).pointee
                    while let range = job.lockstep.takeItems(grain: 1, of: job.items) {
                        job.body(range.lowerBound, worker)
                    }
                }
            }
        }
    }
}
