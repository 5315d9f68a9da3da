import MartletTokenizers

/// A pattern as a nondeterministic automaton: on the way to a deterministic one, or followed as it is. Node 0 is the end.
struct PositionAutomaton {
    enum Node {
        case end
        case set(ScalarSet, next: Int)
        case split([Int])
    }

    private(set) var nodes = [Node.end]
    private(set) var start = 0

    /// - Throws: `tooComplex`.
    init(_ pattern: Pattern, _ builder: inout AutomatonBuilder) throws(GrammarError) {
        start = try node(pattern, 0, &builder)
    }

    /// Nodes that an automaton may have.
    static func capacity(_ limits: GrammarLimits) -> Int { 16 * limits.patternStates }

    private mutating func add(_ node: Node, _ builder: inout AutomatonBuilder) throws(GrammarError) -> Int {
        guard nodes.count < Self.capacity(builder.limits) else { throw .tooComplex("a pattern is too large") }
        nodes.append(node)
        return nodes.count - 1
    }

    private mutating func node(
        _ pattern: Pattern, _ next: Int, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> Int {
        try builder.charge()
        switch pattern {
        case .empty: return next
        case .set(let set): return try add(.set(set, next: next), &builder)
        case .sequence(let parts):
            var next = next
            for part in parts.reversed() { next = try node(part, next, &builder) }
            return next
        case .alternation(let parts):
            var targets: [Int] = []
            for part in parts { targets.append(try node(part, next, &builder)) }
            return try split(targets, &builder)
        case .repetition(let part, let atLeast, let atMost):
            let exit = next
            var next = next
            if let atMost {
                // Whoever goes through one of these no more goes through none of the rest.
                for _ in atLeast..<max(atLeast, atMost) {
                    next = try split([try node(part, next, &builder), exit], &builder)
                }
            } else {
                let loop = try add(.split([]), &builder)
                nodes[loop] = .split([try node(part, loop, &builder), next])
                next = loop
            }
            for _ in 0..<atLeast { next = try node(part, next, &builder) }
            return next
        }
    }

    /// Empty alternatives lead to the same node: once is enough.
    private mutating func split(_ targets: [Int], _ builder: inout AutomatonBuilder) throws(GrammarError) -> Int {
        var seen: Set<Int> = []
        let distinct = targets.filter { seen.insert($0).inserted }
        return distinct.count == 1 ? distinct[0] : try add(.split(distinct), &builder)
    }

    /// Where nodes lead without a scalar: nodes that take one, and the end. Sorted.
    func closure(_ start: [Int], _ builder: inout AutomatonBuilder) throws(GrammarError) -> [Int] {
        var seen = Set(start)
        var work = Array(seen)
        var found: [Int] = []
        while let node = work.popLast() {
            guard case .split(let targets) = nodes[node] else {
                try builder.charge()
                found.append(node)
                continue
            }
            try builder.charge(1 + targets.count)
            for target in targets where seen.insert(target).inserted { work.append(target) }
        }
        return found.sorted()
    }

    /// Whether it is the pattern of the whole text.
    func accepts(_ text: String, _ builder: inout AutomatonBuilder) throws(GrammarError) -> Bool {
        var places = try closure([start], &builder)
        for scalar in text.unicodeScalars {
            var next: [Int] = []
            for place in places {
                if case .set(let set, let target) = nodes[place], set.contains(scalar.value) { next.append(target) }
            }
            guard !next.isEmpty else { return false }
            places = try closure(next, &builder)
        }
        return places.first == 0
    }
}
