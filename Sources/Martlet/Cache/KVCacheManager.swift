/// Hands out the rows of the KV pool, one row per token (TokenAttention, LightLLM 2024). Policy only: it holds integers.
///
/// Attention kernels read the pool in pages of 64 rows, and a request's positions `64i ..< 64(i + 1)` need no gathering
/// when they lie in one page in order. Allocation therefore lets a request continue its own page, and starts a fully
/// free page where it can. Only when no page is fully free does it take single rows of other requests' pages: slower to
/// read, but no row is ever lost to rounding. Rows are reference-counted, so that requests can share a prefix.
package struct KVCacheManager: Sendable {
    /// Rows that a kernel reads at once.
    package static let pageSize = 64

    package let rowCount: Int
    package private(set) var freeCount: Int
    /// One bit per row of a page, set while the row is free.
    private(set) var freeMasks: [UInt64]
    private(set) var referenceCounts: [Int32]
    /// Pages with 64 free rows.
    private(set) var freePages: PageSet
    /// Pages with some free rows, but not 64.
    private(set) var partialPages: PageSet

    /// A pool of `rowCount` rows, all free. A last page of fewer than 64 rows is used for single rows only.
    package init(rowCount: Int) {
        precondition(rowCount > 0 && rowCount <= Int(Int32.max))
        self.rowCount = rowCount
        freeCount = rowCount
        referenceCounts = Array(repeating: 0, count: rowCount)
        let pageCount = (rowCount + Self.pageSize - 1) / Self.pageSize
        freeMasks = Array(repeating: .max, count: pageCount)
        freePages = PageSet(pageCount: pageCount)
        partialPages = PageSet(pageCount: pageCount)
        let tail = rowCount % Self.pageSize
        if tail != 0 {
            freeMasks[pageCount - 1] = (1 << UInt64(tail)) - 1
            partialPages.insert(pageCount - 1)
        }
        // The set gives its last member first: low pages come first.
        for page in (0..<rowCount / Self.pageSize).reversed() { freePages.insert(page) }
    }

    package var usedCount: Int { rowCount - freeCount }
    /// Pages of which every row is free.
    package var freePageCount: Int { freePages.members.count }

    /// A row for a request's `position`, referenced once; nil when every row is in use.
    ///
    /// - Parameter previous: the row of `position - 1`, or nil at position 0.
    package mutating func allocate(position: Int, after previous: Int32?) -> Int32? {
        let offset = position % Self.pageSize
        if offset != 0, let previous {
            let next = Int(previous) + 1
            if next % Self.pageSize != 0, isFree(next) { return take(next) }
        }
        // The offset is kept in a fresh page, so that what follows in it is aligned.
        if let page = freePages.last { return take(page * Self.pageSize + offset) }
        // The highest row is the one that the page's owner would come to last.
        guard let page = partialPages.last else { return nil }
        return take(page * Self.pageSize + 63 - freeMasks[page].leadingZeroBitCount)
    }

    /// Rows for the positions `positions` of a request whose position → row table is `table`: all of them, or none.
    ///
    /// - Returns: whether there were enough free rows.
    package mutating func allocate(_ positions: Range<Int>, in table: UnsafeMutablePointer<Int32>) -> Bool {
        guard positions.count <= freeCount else { return false }
        var previous = positions.lowerBound > 0 ? table[positions.lowerBound - 1] : nil
        for position in positions {
            guard let row = allocate(position: position, after: previous) else {
                preconditionFailure("freeCount disagrees with the free rows")
            }
            table[position] = row
            previous = row
        }
        return true
    }

    /// One more owner of a row that is in use.
    package mutating func retain(_ row: Int32) {
        precondition(referenceCounts[Int(row)] > 0, "only rows in use are shared")
        referenceCounts[Int(row)] += 1
    }

    /// One owner less; a row without owners is free.
    package mutating func release(_ row: Int32) {
        let row = Int(row)
        precondition(referenceCounts[row] > 0, "a row was released more often than it was taken")
        referenceCounts[row] -= 1
        guard referenceCounts[row] == 0 else { return }
        let page = row / Self.pageSize
        if freeMasks[page] == 0 { partialPages.insert(page) }
        freeMasks[page] |= 1 << UInt64(row % Self.pageSize)
        freeCount += 1
        if freeMasks[page] == .max {
            partialPages.remove(page)
            freePages.insert(page)
        }
    }

    /// Takes a certain row that is free.
    package mutating func claim(_ row: Int) {
        precondition(isFree(row))
        _ = take(row)
    }

    package func isFree(_ row: Int) -> Bool {
        freeMasks[row / Self.pageSize] >> UInt64(row % Self.pageSize) & 1 == 1
    }

    private mutating func take(_ row: Int) -> Int32 {
        let page = row / Self.pageSize
        if freeMasks[page] == .max {
            freePages.remove(page)
            partialPages.insert(page)
        }
        freeMasks[page] &= ~(1 << UInt64(row % Self.pageSize))
        if freeMasks[page] == 0 { partialPages.remove(page) }
        freeCount -= 1
        referenceCounts[row] = 1
        return Int32(row)
    }
}
