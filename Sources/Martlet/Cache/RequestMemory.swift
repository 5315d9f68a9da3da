package import MartletGraph

/// What running requests hold: rows of the KV pool, slots of the token table, and a place in the tree of cached prefixes.
package struct RequestMemory: ~Copyable {
    package private(set) var pool: KVCacheManager
    package private(set) var table: TokenTable
    package private(set) var prefixes = PrefixCache()
    private let cachesPrefixes: Bool

    /// - Parameter positionCount: tokens that one request may have.
    package init(rowCount: Int, slotCount: Int, positionCount: Int, cachesPrefixes: Bool) {
        pool = KVCacheManager(rowCount: rowCount)
        table = TokenTable(slotCount: slotCount, positionCount: positionCount)
        self.cachesPrefixes = cachesPrefixes
    }

    /// Rows that requests hold, each counted once. What is only cached is as good as free.
    package var usedCount: Int { pool.usedCount - prefixes.evictableCount }
    /// Rows that a request can have at once.
    package var availableCount: Int { pool.freeCount + prefixes.evictableCount }

    /// Gives a request a slot of the table, and the cached rows of its longest known prefix.
    ///
    /// - Returns: whether a slot was free.
    package mutating func admit(_ request: inout RequestState) -> Bool {
        guard let slot = table.acquireSlot() else { return false }
        request.admit(slot: slot)
        if cachesPrefixes { request.prefixNode = prefixes.lockRoot(salt: request.terms.cacheSalt) }
        reusePrefix(&request)
        return true
    }

    /// Skips what is computed already: by requests before this one, beside it, or in this very step. (In every layer a
    /// step writes the K and V of all its tokens before any of them attends.) One token is always left: its logits are
    /// what the request is for.
    package mutating func reusePrefix(_ request: inout RequestState) {
        guard let slot = request.slot, let node = request.prefixNode else { return }
        let start = request.computedCount
        // Rows of its own may lie behind the tree's: those of tokens that a twin had added before.
        guard prefixes.end(of: node) == start else { return }
        let deeper = prefixes.descend(from: node, along: request.tokens, limit: request.reusableCount)
        guard deeper != node else { return }
        request.prefixNode = deeper
        request.reuse(upTo: prefixes.end(of: deeper))
        prefixes.share(pathTo: deeper, from: start, in: table.rows(slot), of: &pool)
    }

    /// Rows for a request's next tokens, of which `availableCount` says that there are enough.
    ///
    /// Where more than the last known token is computed, other requests may use what comes of it from now on.
    package mutating func extend(_ request: inout RequestState, by count: Int) {
        guard let slot = request.slot else { preconditionFailure("only running requests hold memory") }
        let positions = request.computedCount..<request.computedCount + count
        makeRoom(for: positions)
        guard pool.allocate(positions, in: table.rows(slot)) else { preconditionFailure("rows were counted before") }
        let entersTree = request.uncomputedCount > 1
        request.advance(by: count)
        if entersTree { growTree(with: &request) }
    }

    /// Evicts what stands in the way of new rows.
    private mutating func makeRoom(for positions: Range<Int>) {
        prefixes.evict(positions.count - pool.freeCount, from: &pool)
        // Single rows between those of others would do, but whole pages are read in place: rather give up a little more
        // of what is cached. Not all of it, where its pages are mixed with those of running requests.
        let pageSize = KVCacheManager.pageSize
        let pageCount = (positions.upperBound - 1) / pageSize - (positions.lowerBound + pageSize - 1) / pageSize + 1
        var attempts = pageCount + 1
        while pool.freePageCount < pageCount && prefixes.evictableCount > 0 && attempts > 0 {
            prefixes.evict(pageSize, from: &pool)
            attempts -= 1
        }
    }

    private mutating func growTree(with request: inout RequestState) {
        guard let slot = request.slot, let node = request.prefixNode else { return }
        let end = prefixes.end(of: node)
        guard end < request.computedCount, prefixes.canGrow(at: node, with: request.tokens[end]) else { return }
        request.prefixNode = prefixes.grow(
            at: node, context: request.tokens, upTo: min(request.computedCount, request.knownCount),
            rows: table.rows(slot), of: &pool)
    }

    /// Brings the rows of each of a request's pages together, so that kernels read the pages in place.
    ///
    /// Where a request leaves a shared prefix in the middle of a page, its own rows lie behind the place for the beginning,
    /// which is free as a rule: the shared rows are copied there once, instead of being gathered in every step. The tree
    /// keeps the originals, so this takes rows; where they are short it is left.
    ///
    /// - Parameter copies: grows by what the next step must copy first. All of it was computed in earlier steps.
    package mutating func align(_ request: inout RequestState, copies: inout [RowCopy]) {
        guard let slot = request.slot else { preconditionFailure("only running requests hold memory") }
        let rows = table.rows(slot)
        let pageSize = KVCacheManager.pageSize
        for first in stride(from: 0, to: request.computedCount, by: pageSize) {
            let end = min(first + pageSize, request.computedCount)
            // Where the page lies if its last row is in place.
            let page = Int(rows[end - 1]) - (end - 1 - first)
            guard page >= 0, page % pageSize == 0 else { continue }
            let fits = (first..<end).allSatisfy { position in
                let place = page + position - first
                return Int(rows[position]) == place || pool.isFree(place)
            }
            guard fits, pool.freeCount >= 2 * pageSize else { continue }
            for position in first..<end where Int(rows[position]) != page + position - first {
                let place = page + position - first
                pool.claim(place)
                copies.append(RowCopy(from: rows[position], to: Int32(place)))
                pool.release(rows[position])
                rows[position] = Int32(place)
            }
        }
        request.isAligned = true
    }

    /// Forgets what was computed for the part of a draft that was wrong.
    package mutating func rejectDraft(of request: inout RequestState) {
        guard let slot = request.slot else { preconditionFailure("only running requests hold memory") }
        let rows = table.rows(slot)
        for position in request.rejectDraft() { pool.release(rows[position]) }
    }

    /// Takes back all that a request holds.
    ///
    /// - Parameter keeps: whether what it has computed stays cached. False where that may be wrong: then its context is forgotten
    ///   as far as nobody else's goes on from it.
    package mutating func release(_ request: inout RequestState, keeps: Bool) {
        guard let slot = request.slot else { preconditionFailure("only running requests hold memory") }
        if let node = request.prefixNode, keeps {
            // What the tree has already, from a twin, stays the request's own and is freed with it.
            request.prefixNode = prefixes.descend(from: node, along: request.tokens, limit: request.computedCount)
            growTree(with: &request)
        }
        let rows = table.rows(slot)
        for position in 0..<request.computedCount { pool.release(rows[position]) }
        if let node = request.prefixNode {
            prefixes.unlock(node)
            if !keeps { prefixes.forget(pathTo: node, from: &pool) }
        }
        request.prefixNode = nil
        table.releaseSlot(slot)
    }

    /// Forgets every cached prefix that no running request uses.
    package mutating func clearCache() {
        prefixes.evict(prefixes.evictableCount, from: &pool)
    }

    /// How many of a request's rows other running requests hold as well.
    func sharedCount(of request: borrowing RequestState) -> Int {
        request.prefixNode.map { prefixes.sharedLength(of: $0) } ?? 0
    }
}
