extension RequestMemory {
    /// What is wrong with pool, tree and tables, in words; empty when all is well. Walks everything: for tests.
    ///
    /// - Parameter requests: all that hold memory, between steps.
    package func checkInvariants(_ requests: [RequestState]) -> [String] {
        var violations = pool.checkInvariants()
        let (treeViolations, treeOwners) = prefixes.checkInvariants(locks: requests.compactMap(\.prefixNode))
        violations += treeViolations
        var owners = Array(repeating: 0, count: pool.rowCount)
        for (row, count) in treeOwners { owners[Int(row)] += count }
        for request in requests {
            guard let slot = request.slot else {
                violations.append("\(request.id) has no slot")
                continue
            }
            let rows = UnsafeBufferPointer(start: table.rows(slot), count: request.computedCount)
            if Set(rows).count != rows.count { violations.append("\(request.id) has a row twice") }
            for row in rows { owners[Int(row)] += 1 }
            guard let node = request.prefixNode else { continue }
            if prefixes.end(of: node) > request.computedCount {
                violations.append("\(request.id) holds more of the tree than it has computed")
            } else if !prefixes.spells(request.tokens, pathTo: node) {
                violations.append("the tree's path isn't that of \(request.id)")
            }
        }
        for row in owners.indices where owners[row] != Int(pool.referenceCounts[row]) {
            violations.append("row \(row) has \(owners[row]) owners, and counts \(pool.referenceCounts[row])")
        }
        if Set(requests.compactMap(\.slot)).count != requests.count { violations.append("two requests share a slot") }
        if requests.count + table.freeSlotCount != table.slotCount { violations.append("slots are lost") }
        return violations
    }
}

extension PrefixCache {
    /// Whether the path to a node spells the beginning of a context.
    fileprivate func spells(_ tokens: [Int32], pathTo node: Int) -> Bool {
        var node = node
        while nodes[node].parent >= 0 {
            let range = nodes[node].start..<nodes[node].end
            guard nodes[node].tokens.elementsEqual(tokens[range]) else { return false }
            node = nodes[node].parent
        }
        return true
    }
}
