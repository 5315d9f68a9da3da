extension KVCacheManager {
    /// What is wrong with the bookkeeping, in words; empty when all is well. Walks every row: for tests.
    package func checkInvariants() -> [String] {
        var violations: [String] = []
        var free = 0
        for page in freeMasks.indices {
            for offset in 0..<Self.pageSize {
                let row = page * Self.pageSize + offset
                let isFree = freeMasks[page] >> UInt64(offset) & 1 == 1
                if row >= rowCount {
                    if isFree { violations.append("row \(row) lies behind the pool's \(rowCount) rows") }
                    continue
                }
                if isFree { free += 1 }
                if referenceCounts[row] < 0 { violations.append("row \(row) has \(referenceCounts[row]) owners") }
                if isFree != (referenceCounts[row] == 0) {
                    violations.append("row \(row) is \(isFree ? "free" : "used") with \(referenceCounts[row]) owners")
                }
            }
            let mask = freeMasks[page]
            if freePages.contains(page) != (mask == .max) { violations.append("free pages are wrong about \(page)") }
            if partialPages.contains(page) != (mask != 0 && mask != .max) {
                violations.append("partly used pages are wrong about \(page)")
            }
        }
        if free != freeCount { violations.append("\(free) rows are free, the count says \(freeCount)") }
        return violations
    }
}
