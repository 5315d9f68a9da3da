/// Merges a long word in O(n log n): a linked list of symbols, and a queue of pairs by rank, then leftmost.
///
/// Learned merges build on earlier ones, so a merge hardly ever makes a pair of lower rank than its own. Pairs therefore wait
/// in one bucket a rank, and a bucket is walked from left to right: memory is read in order, which makes a word of megabytes
/// several times faster than one large heap of pairs would be. Pairs that do come out of turn go to a small heap.
struct MergeQueue {
    private static let none = Int32(-1)

    private var next: [Int32] = []
    private var previous: [Int32] = []
    /// By rank, the positions of pairs' left symbols. Ranks with a bucket are in `ranks`.
    private var buckets: [UInt32: [UInt32]] = [:]
    private var ranks = MinimumHeap<UInt32>()
    /// The bucket that is being walked. Its rank is the highest whose pairs may be merged now.
    private var current: [UInt32] = []
    private var currentRank: UInt32 = 0
    private var cursor = 0
    /// Pairs of at most the current rank that were made since its bucket was sorted: rank and position in one number.
    private var urgent = MinimumHeap<UInt64>()

    mutating func merge(_ symbols: inout [TokenID], _ merges: PairTable) {
        let count = symbols.count
        next = (0..<Int32(count)).map { $0 + 1 < count ? $0 + 1 : Self.none }
        previous = (0..<Int32(count)).map { $0 - 1 }
        for left in 0..<(count - 1) {
            if let merge = merges.find(symbols[left], symbols[left + 1]) { enqueue(left, merge.rank) }
        }
        while let (left, rank) = dequeue() {
            let right = Int(next[left])
            // A pair that has changed since it was queued has another rank, or is gone.
            guard right >= 0, symbols[left] >= 0, let merge = merges.find(symbols[left], symbols[right]),
                merge.rank == rank
            else { continue }
            symbols[left] = merge.result
            symbols[right] = -1
            let after = next[right]
            next[left] = after
            next[right] = Self.none
            if after >= 0 {
                previous[Int(after)] = Int32(left)
                if let merge = merges.find(symbols[left], symbols[Int(after)]) { push(left, merge.rank) }
            }
            let before = Int(previous[left])
            if before >= 0, let merge = merges.find(symbols[before], symbols[left]) { push(before, merge.rank) }
        }
        symbols.removeAll { $0 < 0 }
        self = MergeQueue()
    }

    private mutating func enqueue(_ left: Int, _ rank: UInt32) {
        if buckets[rank]?.append(UInt32(left)) == nil {
            buckets[rank] = [UInt32(left)]
            ranks.push(rank)
        }
    }

    private mutating func push(_ left: Int, _ rank: UInt32) {
        if rank > currentRank {
            enqueue(left, rank)
        } else {
            urgent.push(UInt64(rank) << 32 | UInt64(left))
        }
    }

    private mutating func dequeue() -> (left: Int, rank: UInt32)? {
        if cursor == current.count, urgent.isEmpty {
            guard let rank = ranks.pop(), let bucket = buckets.removeValue(forKey: rank) else { return nil }
            current = bucket
            current.sort()
            currentRank = rank
            cursor = 0
        }
        let nextInBucket = cursor < current.count ? UInt64(currentRank) << 32 | UInt64(current[cursor]) : .max
        if let first = urgent.first, first <= nextInBucket {
            _ = urgent.pop()
            return (Int(first & 0xFFFF_FFFF), UInt32(first >> 32))
        }
        cursor += 1
        return (Int(nextInBucket & 0xFFFF_FFFF), currentRank)
    }
}

/// A binary heap with the smallest element first.
struct MinimumHeap<Element: Comparable> {
    private var elements: [Element] = []

    var isEmpty: Bool { elements.isEmpty }
    var first: Element? { elements.first }

    mutating func push(_ element: Element) {
        elements.append(element)
        var index = elements.count - 1
        while index > 0 {
            let parent = (index - 1) / 2
            if elements[parent] <= element { break }
            elements[index] = elements[parent]
            index = parent
        }
        elements[index] = element
    }

    mutating func pop() -> Element? {
        guard let first = elements.first, let last = elements.popLast() else { return nil }
        if elements.isEmpty { return first }
        var index = 0
        while true {
            var child = 2 * index + 1
            if child >= elements.count { break }
            if child + 1 < elements.count, elements[child + 1] < elements[child] { child += 1 }
            if elements[child] >= last { break }
            elements[index] = elements[child]
            index = child
        }
        elements[index] = last
        return first
    }
}
