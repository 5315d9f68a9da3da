import CKernels
import Synchronization

/// Where the workers of a pool meet: the words that they spin on, as plain addresses that cost no reference counting.
struct Lockstep {
    let count: Int
    /// Number of barriers passed.
    let generation: UnsafeMutablePointer<Atomic<UInt32>>
    let arrived: UnsafeMutablePointer<Atomic<Int>>
    let sleepers: UnsafeMutablePointer<Atomic<Int>>
    /// Next item of the current kernel call that no worker has taken.
    let cursor: UnsafeMutablePointer<Atomic<Int>>

    /// Spins before sleeping: about 15 µs. Longer hurts badly on a machine with more threads than cores.
    private static let spinLimit = 1000

    var hasSleepers: Bool { sleepers.pointee.load(ordering: .sequentiallyConsistent) != 0 }

    /// Returns when every worker has called it. Items start from 0 again.
    @inline(__always)
    func barrier() {
        if count == 1 {
            cursor.pointee.store(0, ordering: .relaxed)
            return
        }
        let now = generation.pointee.load(ordering: .relaxed)
        if arrived.pointee.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue == count {
            arrived.pointee.store(0, ordering: .relaxed)
            cursor.pointee.store(0, ordering: .relaxed)
            generation.pointee.store(now &+ 1, ordering: .sequentiallyConsistent)
            if sleepers.pointee.load(ordering: .sequentiallyConsistent) != 0 { ck_futex_wake(generation, Int32.max) }
        } else {
            wait(generation, while: now)
        }
    }

    /// Takes the next `grain` items of this kernel call, or returns nil when fewer than `total` were left to take.
    ///
    /// Which worker computes an item never shows in the result, so uneven cores balance themselves.
    @inline(__always)
    func takeItems(grain: Int, of total: Int) -> Range<Int>? {
        let begin = cursor.pointee.wrappingAdd(grain, ordering: .relaxed).oldValue
        return begin < total ? Range(uncheckedBounds: (begin, min(begin &+ grain, total))) : nil
    }

    /// Spins, then sleeps, until the word is no longer `value`.
    func wait(_ word: UnsafeMutablePointer<Atomic<UInt32>>, while value: UInt32) {
        var spins = 0
        while word.pointee.load(ordering: .acquiring) == value {
            if spins < Self.spinLimit {
                spins &+= 1
                ck_pause()
                continue
            }
            sleepers.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
            ck_futex_wait(word, value)  // returns at once if the word has moved
            sleepers.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        }
    }
}
