/// A token that may be drawn.
struct Candidate {
    /// Orders candidates by logit, and equal logits by id, lower ids being greater. No two keys are equal.
    var key: UInt64
    /// exp((logit - peak) / temperature).
    var weight: Float

    init(token: Int, logit: Float, weight: Float) {
        // A float's bits order like an integer once negative numbers are turned around. Adding 0 turns -0 into 0.
        let bits = (logit + 0).bitPattern
        let ordered = bits >> 31 == 0 ? bits | 1 << 31 : ~bits
        key = UInt64(ordered) << 32 | UInt64(~UInt32(truncatingIfNeeded: token))
        self.weight = weight
    }

    init(key: UInt64) {
        self.key = key
        weight = 0
    }

    var token: Int32 { Int32(truncatingIfNeeded: ~UInt32(truncatingIfNeeded: key)) }

    /// Finds the smallest set of greatest candidates whose measures sum up to `target`, in linear time (a quickselect
    /// that counts measures instead of elements).
    ///
    /// - Parameter candidates: reordered.
    /// - Returns: the least key of that set; 0 when all candidates together don't reach the target.
    @inline(__always)
    static func leastKey(
        among candidates: UnsafeMutableBufferPointer<Candidate>, reaching target: Double,
        measure: (Candidate) -> Double
    ) -> UInt64 {
        // Everything before `low` belongs to the set and measures `reached`; nothing from `high` on belongs to it.
        var low = 0
        var high = candidates.count
        var reached = 0.0
        while low < high {
            candidates.swapAt(medianOfThree(candidates, low, low + (high - low) / 2, high - 1), high - 1)
            let pivot = candidates[high - 1]
            var boundary = low
            var above = 0.0
            for index in low..<high - 1 where candidates[index].key > pivot.key {
                above += measure(candidates[index])
                candidates.swapAt(index, boundary)
                boundary += 1
            }
            candidates.swapAt(boundary, high - 1)
            if reached + above >= target {
                high = boundary
            } else if reached + above + measure(pivot) >= target {
                return pivot.key
            } else {
                reached += above + measure(pivot)
                low = boundary + 1
            }
        }
        // Rounding can make the parts of a partition sum up to less than before; what was cut off last is the answer.
        return high < candidates.count ? candidates[high].key : 0
    }

    private static func medianOfThree(
        _ candidates: UnsafeMutableBufferPointer<Candidate>, _ a: Int, _ b: Int, _ c: Int
    ) -> Int {
        let (x, y, z) = (candidates[a].key, candidates[b].key, candidates[c].key)
        if (x < y) == (y < z) { return b }
        return (y < x) == (x < z) ? a : c
    }
}
