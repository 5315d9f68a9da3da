/// Which token sequences have their K and V in the pool: a radix tree over token ids (RadixAttention; Zheng et al.,
/// "SGLang: Efficient Execution of Structured Language Model Programs", 2024).
///
/// An edge is a run of tokens with the row of each, so prefixes are shared to the token. The tree owns its rows beside
/// the requests that use them. A running request holds a *lock* on the node where its context leaves the tree, which
/// counts for every node up to the root; what nobody locks stays until its rows are needed, and the leaf that was used
/// least recently goes first. Tokens are compared one by one; nothing is ever found by a hash of them alone.
package struct PrefixCache: Sendable {
    /// A run of tokens behind its parent's. Requests are always *at* a node: at the end of its run.
    struct Node: Sendable {
        var tokens: [Int32] = []
        /// Row of each token.
        var rows: [Int32] = []
        /// Position of the first token.
        var start = 0
        /// -1 for a root.
        var parent = -1
        /// First token → node.
        var children: [Int32: Int] = [:]
        /// Requests at this node or below.
        var lockCount = 0
        /// When the last lock was given up, in locks given up before.
        var lastUse: UInt64 = 0
        /// Neighbours in the list of leaves that nobody locks, or -1.
        var older = -1
        var newer = -1
        /// Of a root only.
        var salt = ""

        var end: Int { start + tokens.count }
    }

    var nodes: [Node] = []
    var freeNodes: [Int] = []
    /// Salt → root. Nothing is shared between roots.
    var roots: [String: Int] = [:]
    /// Ends of the list of leaves that nobody locks, ordered by their last use.
    var oldestLeaf = -1
    var newestLeaf = -1
    private var clock: UInt64 = 0
    /// Rows in the tree.
    package private(set) var rowCount = 0
    /// Rows that nobody locks: as good as free, since `evict` can free all of them.
    package private(set) var evictableCount = 0
    /// Rows that several requests lock.
    package private(set) var sharedCount = 0

    package init() {}

    /// Runs in the tree, roots included.
    package var nodeCount: Int { nodes.count - freeNodes.count }

    /// The position behind a node's run: how much of a context the path to it covers.
    package func end(of node: Int) -> Int { nodes[node].end }

    /// How much of the path to a locked node others lock as well. Only those who lock a node can lock what is behind it,
    /// so this is a leading part.
    package func sharedLength(of node: Int) -> Int {
        var node = node
        while nodes[node].lockCount == 1 && nodes[node].parent >= 0 { node = nodes[node].parent }
        return nodes[node].lockCount > 1 ? nodes[node].end : 0
    }

    // MARK: Locks

    /// A lock on the root of a salt's tree.
    package mutating func lockRoot(salt: String) -> Int {
        let root: Int
        if let known = roots[salt] {
            root = known
        } else {
            root = makeNode(Node(salt: salt))
            roots[salt] = root
        }
        lockOne(root)
        return root
    }

    /// Moves a lock down the tree, along a context as far as the tree knows it.
    ///
    /// - Parameters:
    ///   - node: locked by the caller, who holds the lock on the result instead.
    ///   - context: the request's tokens, which begin with those on the path to `node`.
    ///   - limit: matches no more than this many of them.
    /// - Returns: the node where the context, or the limit, ends.
    package mutating func descend(from node: Int, along context: [Int32], limit: Int) -> Int {
        precondition(limit <= context.count)
        var node = node
        while nodes[node].end < limit, let child = nodes[node].children[context[nodes[node].end]] {
            let common = commonLength(child, context, limit)
            node = common < nodes[child].tokens.count ? split(child, at: common) : child
            lockOne(node)
        }
        return node
    }

    /// Gives a lock up. What was locked by nobody else may be evicted from now on.
    package mutating func unlock(_ node: Int) {
        clock += 1
        var next = node
        while next >= 0 {
            let current = next
            next = nodes[current].parent
            nodes[current].lockCount -= 1
            nodes[current].lastUse = clock
            precondition(nodes[current].lockCount >= 0, "a lock was given up twice")
            switch nodes[current].lockCount {
            case 0:
                evictableCount += nodes[current].rows.count
                if nodes[current].children.isEmpty { becomeIdleLeaf(current) }
            case 1: sharedCount -= nodes[current].rows.count
            default: break
            }
        }
    }

    private mutating func lockOne(_ node: Int) {
        switch nodes[node].lockCount {
        case 0:
            evictableCount -= nodes[node].rows.count
            if nodes[node].parent >= 0 && nodes[node].children.isEmpty { unlinkLeaf(node) }
        case 1: sharedCount += nodes[node].rows.count
        default: break
        }
        nodes[node].lockCount += 1
    }

    // MARK: Growth

    /// Copies the rows of the path to a locked node, from `position` on, into a request's table. The request owns them from
    /// now on, beside the tree.
    package func share(
        pathTo node: Int, from position: Int, in table: UnsafeMutablePointer<Int32>, of pool: inout KVCacheManager
    ) {
        var node = node
        while nodes[node].end > position {
            for offset in max(0, position - nodes[node].start)..<nodes[node].rows.count {
                let row = nodes[node].rows[offset]
                table[nodes[node].start + offset] = row
                pool.retain(row)
            }
            node = nodes[node].parent
        }
    }

    /// Whether a context that leaves the tree at `node` with `token` could be added there as it is.
    package func canGrow(at node: Int, with token: Int32) -> Bool { nodes[node].children[token] == nil }

    /// Adds a context's tokens up to `end`, and their rows, behind the node where it leaves the tree. The tree owns these
    /// rows from now on, beside the request.
    ///
    /// - Parameter node: locked by the caller, who holds the lock on the result instead; `canGrow` there.
    /// - Returns: the node where the context ends now.
    package mutating func grow(
        at node: Int, context: [Int32], upTo end: Int, rows table: UnsafeMutablePointer<Int32>,
        of pool: inout KVCacheManager
    ) -> Int {
        let range = nodes[node].end..<end
        precondition(!range.isEmpty && canGrow(at: node, with: context[range.lowerBound]))
        for position in range { pool.retain(table[position]) }
        rowCount += range.count
        // Nobody else can be at the end of a leaf with one lock, so that end may move.
        if nodes[node].parent >= 0 && nodes[node].lockCount == 1 && nodes[node].children.isEmpty {
            nodes[node].tokens.append(contentsOf: context[range])
            nodes[node].rows.append(
                contentsOf: UnsafeBufferPointer(start: table + range.lowerBound, count: range.count))
            return node
        }
        let child = makeNode(
            Node(
                tokens: Array(context[range]),
                rows: Array(UnsafeBufferPointer(start: table + range.lowerBound, count: range.count)),
                start: range.lowerBound, parent: node, lockCount: 1))
        nodes[node].children[context[range.lowerBound]] = child
        return child
    }

    /// Cuts a node's run in two. The second part keeps the node's number, so whoever is at its end still is.
    ///
    /// - Returns: the first part, `[0, offset)`.
    private mutating func split(_ node: Int, at offset: Int) -> Int {
        let (parent, first) = (nodes[node].parent, nodes[node].tokens[0])
        var upper = Node(
            tokens: Array(nodes[node].tokens[..<offset]), rows: Array(nodes[node].rows[..<offset]),
            start: nodes[node].start, parent: parent, lockCount: nodes[node].lockCount, lastUse: nodes[node].lastUse)
        upper.children[nodes[node].tokens[offset]] = node
        nodes[node].tokens.removeFirst(offset)
        nodes[node].rows.removeFirst(offset)
        nodes[node].start += offset
        let place = makeNode(upper)
        nodes[node].parent = place
        nodes[parent].children[first] = place
        return place
    }

    private func commonLength(_ node: Int, _ context: [Int32], _ limit: Int) -> Int {
        let start = nodes[node].start
        let most = min(nodes[node].tokens.count, limit - start)
        var count = 0
        while count < most && nodes[node].tokens[count] == context[start + count] { count += 1 }
        return count
    }

    private mutating func makeNode(_ node: consuming Node) -> Int {
        if let place = freeNodes.popLast() {
            nodes[place] = node
            return place
        }
        nodes.append(node)
        return nodes.count - 1
    }

    // MARK: Eviction

    /// Frees rows that nobody locks, of the least recently used leaves first.
    ///
    /// A leaf loses its end only, up to the last position that a page begins with: what stays and what is freed then fill
    /// whole pages. So a few more rows than asked for may be freed.
    package mutating func evict(_ count: Int, from pool: inout KVCacheManager) {
        var freed = 0
        while freed < count && oldestLeaf >= 0 {
            let leaf = oldestLeaf
            let (start, end) = (nodes[leaf].start, nodes[leaf].end)
            let boundary = (end - min(count - freed, end)) / KVCacheManager.pageSize * KVCacheManager.pageSize
            let kept = max(0, boundary - start)
            for offset in kept..<end - start { pool.release(nodes[leaf].rows[offset]) }
            freed += end - start - kept
            rowCount -= end - start - kept
            evictableCount -= end - start - kept
            if kept == 0 {
                removeIdleLeaf(leaf)
            } else {
                nodes[leaf].tokens.removeLast(end - start - kept)
                nodes[leaf].rows.removeLast(end - start - kept)
            }
        }
    }

    /// Frees the rows of the path to a node, from its end up to where somebody locks it or other contexts branch off.
    package mutating func forget(pathTo node: Int, from pool: inout KVCacheManager) {
        var node = node
        while nodes[node].parent >= 0, nodes[node].lockCount == 0, nodes[node].children.isEmpty {
            let (leaf, rows) = (node, nodes[node].rows)
            node = nodes[leaf].parent
            for row in rows { pool.release(row) }
            rowCount -= rows.count
            evictableCount -= rows.count
            removeIdleLeaf(leaf)
        }
    }

    private mutating func removeIdleLeaf(_ leaf: Int) {
        let (parent, first) = (nodes[leaf].parent, nodes[leaf].tokens[0])
        unlinkLeaf(leaf)
        nodes[parent].children[first] = nil
        nodes[leaf] = Node()
        freeNodes.append(leaf)
        if nodes[parent].lockCount == 0 && nodes[parent].children.isEmpty { becomeIdleLeaf(parent) }
    }

    /// Nobody locks the node any more, and nothing is behind it.
    private mutating func becomeIdleLeaf(_ node: Int) {
        if nodes[node].parent < 0 {
            roots[nodes[node].salt] = nil
            nodes[node] = Node()
            freeNodes.append(node)
        } else {
            linkLeaf(node)
        }
    }

    /// Puts a leaf at its place in the order of last uses. That is at the newest end after an unlock, and near the oldest
    /// after the eviction of its last child.
    private mutating func linkLeaf(_ node: Int) {
        let lastUse = nodes[node].lastUse
        var older = newestLeaf
        if older >= 0 && nodes[older].lastUse > lastUse {
            var newer = oldestLeaf
            while nodes[newer].lastUse <= lastUse { newer = nodes[newer].newer }
            older = nodes[newer].older
        }
        let newer = older >= 0 ? nodes[older].newer : oldestLeaf
        (nodes[node].older, nodes[node].newer) = (older, newer)
        if older >= 0 { nodes[older].newer = node } else { oldestLeaf = node }
        if newer >= 0 { nodes[newer].older = node } else { newestLeaf = node }
    }

    private mutating func unlinkLeaf(_ node: Int) {
        let (older, newer) = (nodes[node].older, nodes[node].newer)
        if older >= 0 { nodes[older].newer = newer } else { oldestLeaf = newer }
        if newer >= 0 { nodes[newer].older = older } else { newestLeaf = older }
        (nodes[node].older, nodes[node].newer) = (-1, -1)
    }
}
