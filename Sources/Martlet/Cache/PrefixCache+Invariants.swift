extension PrefixCache {
    /// What is wrong with the tree, in words; empty when all is well. Walks everything: for tests.
    ///
    /// - Parameter locks: the nodes that are locked, once for every lock.
    /// - Returns: violations, and how often the tree owns each row (once at most).
    package func checkInvariants(locks: [Int]) -> (violations: [String], owners: [Int32: Int]) {
        var violations: [String] = []
        var owners: [Int32: Int] = [:]
        var lockCounts: [Int: Int] = [:]
        for lock in locks {
            var node = lock
            while node >= 0 {
                lockCounts[node, default: 0] += 1
                node = nodes[node].parent
            }
        }
        var (rows, evictable, shared) = (0, 0, 0)
        var idleLeaves: Set<Int> = []
        var stack = Array(roots.values)
        var visited = 0
        while let index = stack.popLast() {
            visited += 1
            let node = nodes[index]
            let isRoot = node.parent < 0
            if isRoot && (roots[node.salt] != index || !node.tokens.isEmpty || node.start != 0) {
                violations.append("node \(index) is no proper root")
            }
            if !isRoot && (node.tokens.isEmpty || node.start != nodes[node.parent].end) {
                violations.append("node \(index) doesn't continue its parent")
            }
            if node.rows.count != node.tokens.count { violations.append("node \(index) has tokens without rows") }
            if node.lockCount != lockCounts[index, default: 0] {
                violations.append("node \(index) counts \(node.lockCount) locks of \(lockCounts[index, default: 0])")
            }
            for row in node.rows { owners[row, default: 0] += 1 }
            rows += node.rows.count
            if node.lockCount == 0 { evictable += node.rows.count }
            if node.lockCount > 1 { shared += node.rows.count }
            if node.lockCount == 0 && node.children.isEmpty { idleLeaves.insert(index) }
            for (token, child) in node.children {
                if nodes[child].parent != index || nodes[child].tokens.first != token {
                    violations.append("node \(child) isn't the child that \(index) takes it for")
                }
                stack.append(child)
            }
        }
        if visited + freeNodes.count != nodes.count { violations.append("nodes are lost") }
        if rows != rowCount { violations.append("the tree has \(rows) rows, and counts \(rowCount)") }
        if evictable != evictableCount { violations.append("\(evictable) rows are idle, not \(evictableCount)") }
        if shared != sharedCount { violations.append("\(shared) rows are shared, not \(sharedCount)") }
        for (row, count) in owners where count > 1 { violations.append("row \(row) is \(count) times in the tree") }

        var (leaf, last) = (oldestLeaf, -1)
        while leaf >= 0 {
            if idleLeaves.remove(leaf) == nil { violations.append("\(leaf) is listed, but no idle leaf") }
            if nodes[leaf].older != last { violations.append("the list of leaves is broken at \(leaf)") }
            if last >= 0 && nodes[last].lastUse > nodes[leaf].lastUse {
                violations.append("the list of leaves isn't ordered at \(leaf)")
            }
            (last, leaf) = (leaf, nodes[leaf].newer)
        }
        if newestLeaf != last { violations.append("the list of leaves ends elsewhere") }
        if !idleLeaves.isEmpty { violations.append("idle leaves are missing from the list: \(idleLeaves)") }
        return (violations, owners)
    }
}
