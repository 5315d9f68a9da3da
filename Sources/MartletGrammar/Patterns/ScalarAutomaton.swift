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
        let positions = try PositionAutomaton(pattern, &builder)
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
        _ = try number(positions.closure([positions.start], &builder))
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
                    try builder.chargeSets(ways[place].set, rest)
                    let common = ways[place].set.intersection(rest)
                    guard !common.isEmpty else { continue }
                    let remainder = ways[place].set.intersection(common.inverted)
                    if !remainder.isEmpty { ways.append((remainder, ways[place].nodes)) }
                    ways[place] = (common, ways[place].nodes + [next])
                    rest = rest.intersection(common.inverted)
                }
                if !rest.isEmpty { ways.append((rest, [next])) }
            }
            var state = State(isAccepting: set.contains(0), ways: [])
            for way in ways { try state.add(way.set, number(positions.closure(way.nodes, &builder)), &builder) }
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
                    try builder.chargeSets(way.set, otherWay.set)
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
                    try state.add(common, numbers[pair] ?? 0, &builder)
                }
            }
            states.append(state)
        }
        return ScalarAutomaton(states)
    }

    /// Texts of either.
    func union(_ other: ScalarAutomaton, _ builder: inout AutomatonBuilder) throws(GrammarError) -> ScalarAutomaton {
        try inverted(&builder).intersection(other.inverted(&builder), &builder).inverted(&builder)
    }

    /// All other texts.
    func inverted(_ builder: inout AutomatonBuilder) throws(GrammarError) -> ScalarAutomaton {
        let sink = states.count
        var result = states
        for index in result.indices {
            let covered = result[index].ways.flatMap(\.set.ranges)
            try builder.chargeSets(covered.count)
            let rest = ScalarSet(covered).inverted
            result[index].isAccepting.toggle()
            if !rest.isEmpty { result[index].ways.append((rest, sink)) }
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

    /// Whether a text is one of them.
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
    mutating func add(
        _ set: ScalarSet, _ target: Int, _ builder: inout AutomatonBuilder
    ) throws(GrammarError) {
        try builder.charge(1 + ways.count / 16)
        if let index = ways.firstIndex(where: { $0.target == target }) {
            try builder.chargeSets(ways[index].set, set)
            ways[index].set = ways[index].set.union(set)
        } else {
            ways.append((set, target))
        }
    }
}

extension ScalarSet {
    func contains(_ value: UInt32) -> Bool {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < value { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].contains(value)
    }
}

extension AutomatonBuilder {
    /// Before two sets are combined. What every character is in costs nothing: the result is the other set itself.
    mutating func chargeSets(_ left: ScalarSet, _ right: ScalarSet) throws(GrammarError) {
        try chargeSets(left.isAll || right.isAll ? 1 : left.ranges.count + right.ranges.count)
    }

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
