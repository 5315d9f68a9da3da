extension BPE {
    /// Above this, a queue of pairs is faster than looking for the best pair among all.
    private static let shortWord = 48
    private static let noMerge = UInt32.max

    /// Merges `scratch.symbols` in place.
    func merge(_ scratch: inout BPEScratch) {
        if scratch.symbols.count < 2 { return }
        if scratch.symbols.count <= Self.shortWord {
            mergeShort(&scratch.symbols, &scratch.ranks)
        } else {
            scratch.queue.merge(&scratch.symbols, merges)
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
