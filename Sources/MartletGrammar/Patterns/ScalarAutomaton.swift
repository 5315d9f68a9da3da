import MartletTokenizers

/// A deterministic automaton over Unicode scalars: what a regular expression becomes when it has to be combined with others.
struct ScalarAutomaton: Sendable {
    struct State: Sendable {
        var isAccepting: Bool
        /// Disjoint sets; what is in none of them leads nowhere.
        var ways: [(set: ScalarSet, target: Int)]
    }

    /// The first one is where texts begin.
    private(set) var states: [State]

    private init(_ states: [State]) { self.states = states }

    /// - Throws: `tooComplex`.
    init(_ pattern: Pattern, _ builder: inout AutomatonBuilder) throws(GrammarError) {
        var positions = PositionAutomaton()
        let start = try positions.node(pattern, 0, &builder)
        states = []
        var numbers: [[Int]: Int] = [:]
        var work: [[Int]] = []
        func number(_ set: [Int]) throws(GrammarError) -> Int {
            if let known = numbers[set] { return known }
            guard numbers.count < builder.limits.patternStates else {
                throw .tooComplex("a pattern needs more than \(builder.limits.patternStates) states")
            }
            numbers[set] = numbers.count
            work.append(set)
            return numbers.count - 1
        }
        _ = try number(positions.closure([start]))
        var index = 0
        while index < work.count {
            let set = work[index]
            index += 1
            var ways: [(set: ScalarSet, nodes: [Int])] = []
            for node in set {
                guard case .set(let scalars, let next) = positions.nodes[node] else { continue }
                // Cut what is there so that no two sets overlap.
                var rest = scalars
                for place in ways.indices {
                    let common = ways[place].set.intersection(rest)
                    guard !common.isEmpty else { continue }
                    let remainder = ways[place].set.intersection(common.inverted)
                    if !remainder.isEmpty { ways.append((remainder, ways[place].nodes)) }
                    ways[place] = (common, ways[place].nodes + [next])
                    rest = rest.intersection(common.inverted)
                }
                if !rest.isEmpty { ways.append((rest, [next])) }
                try builder.charge(ways.count)
            }
            var state = State(isAccepting: set.contains(0), ways: [])
            for way in ways { state.add(way.set, try number(positions.closure(way.nodes))) }
            states.append(state)
        }
    }

    /// Texts of both.
    func intersection(_ other: ScalarAutomaton, _ builder: inout AutomatonBuilder) throws(GrammarError)
        -> ScalarAutomaton
    {
        var states: [State] = []
        var numbers: [[Int]: Int] = [[0, 0]: 0]
        var work = [[0, 0]]
        var index = 0
        while index < work.count {
            let (left, right) = (self.states[work[index][0]], other.states[work[index][1]])
            index += 1
            var state = State(isAccepting: left.isAccepting && right.isAccepting, ways: [])
            for way in left.ways {
                for otherWay in right.ways {
                    try builder.charge()
                    let common = way.set.intersection(otherWay.set)
                    guard !common.isEmpty else { continue }
                    let pair = [way.target, otherWay.target]
                    if numbers[pair] == nil {
                        guard numbers.count < builder.limits.patternStates else {
                            throw .tooComplex(
                                "patterns and lengths together need more than \(builder.limits.patternStates) states")
                        }
                        numbers[pair] = numbers.count
                        work.append(pair)
                    }
                    state.add(common, numbers[pair] ?? 0)
                }
            }
            states.append(state)
        }
        return ScalarAutomaton(states)
    }

    /// All other texts.
    var inverted: ScalarAutomaton {
        let sink = states.count
        var result = states.map { state in
            let covered = ScalarSet(state.ways.flatMap(\.set.ranges))
            var inverse = State(isAccepting: !state.isAccepting, ways: state.ways)
            if !covered.inverted.isEmpty { inverse.ways.append((covered.inverted, sink)) }
            return inverse
        }
        result.append(State(isAccepting: true, ways: [(.all, sink)]))
        return ScalarAutomaton(result)
    }

    /// Texts of a length, in scalars.
    static func length(
        atLeast: Int, atMost: Int?, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) -> ScalarAutomaton {
        let count = atMost ?? atLeast
        guard count < builder.limits.patternStates else {
            throw .tooComplex("a pattern together with a length of \(count) is not supported")
        }
        var states = (0...count).map { index in
            State(isAccepting: index >= atLeast, ways: index < count ? [(.all, index + 1)] : [])
        }
        if atMost == nil { states[count].ways = [(.all, count)] }
        return ScalarAutomaton(states)
    }

    func accepts(_ text: String) -> Bool {
        var state = 0
        for scalar in text.unicodeScalars {
            guard let way = states[state].ways.first(where: { $0.set.contains(scalar.value) }) else { return false }
            state = way.target
        }
        return states[state].isAccepting
    }
}

extension ScalarAutomaton.State {
    /// Ways to the same state are one.
    mutating func add(_ set: ScalarSet, _ target: Int) {
        if let index = ways.firstIndex(where: { $0.target == target }) {
            ways[index].set = ways[index].set.union(set)
        } else {
            ways.append((set, target))
        }
    }
}

extension ScalarSet {
    func contains(_ value: UInt32) -> Bool { ranges.contains { $0.contains(value) } }
}

extension AutomatonBuilder {
    mutating func scalarAutomaton(
        _ automaton: ScalarAutomaton, _ spelling: Spelling, _ next: NodeID
    ) throws(GrammarError) -> NodeID {
        var places: [NodeID] = []
        for _ in automaton.states { places.append(try placeholder()) }
        for (state, place) in zip(automaton.states, places) {
            var targets: [NodeID] = state.isAccepting ? [next] : []
            for way in state.ways { targets.append(try scalars(way.set, spelling, places[way.target])) }
            fill(place, targets)
        }
        return places[0]
    }
}

/// A nondeterministic automaton on the way to a deterministic one. Node 0 is the end.
private struct PositionAutomaton {
    enum Node {
        case end
        case set(ScalarSet, next: Int)
        case split([Int])
    }

    private(set) var nodes = [Node.end]

    private mutating func add(_ node: Node, _ builder: inout AutomatonBuilder) throws(GrammarError) -> Int {
        try builder.charge()
        guard nodes.count < 16 * builder.limits.patternStates else { throw .tooComplex("a pattern is too large") }
        nodes.append(node)
        return nodes.count - 1
    }

    mutating func node(_ pattern: Pattern, _ next: Int, _ builder: inout AutomatonBuilder) throws(GrammarError) -> Int {
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
            return try add(.split(targets), &builder)
        case .repetition(let part, let atLeast, let atMost):
            var next = next
            if let atMost {
                for _ in atLeast..<max(atLeast, atMost) {
                    next = try add(.split([try node(part, next, &builder), next]), &builder)
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

    /// Where nodes lead without a scalar: nodes that take one, and the end. Sorted.
    func closure(_ start: [Int]) -> [Int] {
        var seen = Set(start)
        var work = Array(seen)
        var found: Set<Int> = []
        while let node = work.popLast() {
            guard case .split(let targets) = nodes[node] else {
                found.insert(node)
                continue
            }
            for target in targets where seen.insert(target).inserted { work.append(target) }
        }
        return found.sorted()
    }
}
