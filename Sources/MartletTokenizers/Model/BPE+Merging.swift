extension BPE {
    /// Above this, a priority queue is faster than looking for the best pair among all.
    private static let shortWord = 48
    private static let noMerge = UInt32.max

    /// Merges `scratch.symbols` in place.
    func merge(_ scratch: inout BPEScratch) {
        if scratch.symbols.count < 2 { return }
        if scratch.symbols.count <= Self.shortWord {
            mergeShort(&scratch.symbols, &scratch.ranks)
        } else {
            scratch.heap.merge(&scratch.symbols, merges)
        }
    }

    /// Quadratic in at most `shortWord` symbols.
    private func mergeShort(_ symbols: inout [TokenID], _ ranks: inout [UInt32]) {
        var count = symbols.count
        ranks.removeAll(keepingCapacity: true)
        for index in 0..<(count - 1) {
            ranks.append(merges.find(symbols[index], symbols[index + 1])?.rank ?? Self.noMerge)
        }
        while true {
            var best = 0
            var bestRank = Self.noMerge
            for index in 0..<(count - 1) where ranks[index] < bestRank {
                best = index
                bestRank = ranks[index]
            }
            guard bestRank != Self.noMerge, let merge = merges.find(symbols[best], symbols[best + 1]) else { break }
            symbols[best] = merge.result
            count -= 1
            for index in (best + 1)..<max(count, best + 1) { symbols[index] = symbols[index + 1] }
            for index in (best)..<max(count - 1, best) { ranks[index] = ranks[index + 1] }
            if best > 0 { ranks[best - 1] = merges.find(symbols[best - 1], merge.result)?.rank ?? Self.noMerge }
            if best + 1 < count { ranks[best] = merges.find(merge.result, symbols[best + 1])?.rank ?? Self.noMerge }
        }
        symbols.removeLast(symbols.count - count)
    }
}

/// Merges a long word in O(n log n): a linked list of symbols and a priority queue of pairs.
///
/// A queue entry is (rank, position of the left symbol) in one integer, so that entries come out by rank, then leftmost. An
/// entry whose pair has changed since is recognized by its rank and skipped.
struct MergeHeap {
    private static let none = Int32(-1)

    private var next: [Int32] = []
    private var previous: [Int32] = []
    /// By position, the rank of the pair that starts there.
    private var ranks: [UInt32] = []
    private var entries: [UInt64] = []

    mutating func merge(_ symbols: inout [TokenID], _ merges: PairTable) {
        let count = symbols.count
        next = (0..<Int32(count)).map { $0 + 1 < count ? $0 + 1 : Self.none }
        previous = (0..<Int32(count)).map { $0 - 1 }
        ranks = [UInt32](repeating: .max, count: count)
        entries.removeAll(keepingCapacity: true)
        for index in 0..<(count - 1) {
            if let merge = merges.find(symbols[index], symbols[index + 1]) {
                ranks[index] = merge.rank
                entries.append(UInt64(merge.rank) << 32 | UInt64(index))
            }
        }
        for index in stride(from: entries.count / 2 - 1, through: 0, by: -1) { siftDown(index) }

        while let entry = pop() {
            let left = Int(entry & 0xFFFF_FFFF)
            let right = next[left]
            guard UInt64(ranks[left]) == entry >> 32, right >= 0,
                let merge = merges.find(symbols[left], symbols[Int(right)])
            else { continue }
            symbols[left] = merge.result
            symbols[Int(right)] = -1
            ranks[Int(right)] = .max
            let after = next[Int(right)]
            next[left] = after
            if after >= 0 { previous[Int(after)] = Int32(left) }
            update(left, symbols, merges)
            if previous[left] >= 0 { update(Int(previous[left]), symbols, merges) }
        }
        symbols.removeAll { $0 < 0 }
        if count > 1 << 16 { self = MergeHeap() }
    }

    private mutating func update(_ left: Int, _ symbols: [TokenID], _ merges: PairTable) {
        guard next[left] >= 0, let merge = merges.find(symbols[left], symbols[Int(next[left])]) else {
            ranks[left] = .max
            return
        }
        ranks[left] = merge.rank
        entries.append(UInt64(merge.rank) << 32 | UInt64(left))
        siftUp(entries.count - 1)
    }

    private mutating func pop() -> UInt64? {
        guard let first = entries.first else { return nil }
        let last = entries.removeLast()
        if !entries.isEmpty {
            entries[0] = last
            siftDown(0)
        }
        return first
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        let entry = entries[index]
        while index > 0 {
            let parent = (index - 1) / 2
            if entries[parent] <= entry { break }
            entries[index] = entries[parent]
            index = parent
        }
        entries[index] = entry
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        let entry = entries[index]
        let count = entries.count
        while true {
            var child = 2 * index + 1
            if child >= count { break }
            if child + 1 < count, entries[child + 1] < entries[child] { child += 1 }
            if entries[child] >= entry { break }
            entries[index] = entries[child]
            index = child
        }
        entries[index] = entry
    }
}
