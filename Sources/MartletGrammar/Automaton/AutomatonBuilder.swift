import MartletTokenizers

/// Puts an automaton together from its end to its start: each piece is made with the node that follows it.
struct AutomatonBuilder {
    typealias NodeID = Automaton.NodeID

    /// How Unicode scalars are spelled.
    enum Spelling: Hashable, Sendable {
        case plain
        /// As in a JSON string, each in one way: escaped where it has to be.
        case json
    }

    let limits: GrammarLimits
    private var nodes: [Automaton.Node] = []
    private var rules: [NodeID?] = []
    private var sets: [ByteSet] = []
    private var setNumbers: [ByteSet: Int32] = [:]
    private var knownBytes: [Edge: NodeID] = [:]
    private var knownScalars: [ScalarKey: NodeID] = [:]
    let deadline: ContinuousClock.Instant
    private var charged = 0
    /// Ways on from all nodes, and ranges of all sets of characters that were worked on.
    private var ways = 0
    private var ranges = 0
    /// The end of every rule.
    private(set) var end: NodeID = 0
    /// From here nothing leads on.
    private(set) var failure: NodeID = 0

    private struct Edge: Hashable {
        let set: Int32
        let next: NodeID
    }

    private struct ScalarKey: Hashable {
        let ranges: [ClosedRange<UInt32>]
        let spelling: Spelling
        let next: NodeID
    }

    /// - Parameter deadline: when work has to be done; by default as the limits say, from now on.
    init(limits: GrammarLimits = .init(), deadline: ContinuousClock.Instant? = nil) {
        self.limits = limits
        self.deadline = deadline ?? .now + limits.time
        nodes = [.end, .split([])]
        end = 0
        failure = 1
    }

    /// - Throws: `tooComplex`, `unsatisfiable`, or what a rule's recursion is refused for.
    func automaton(start: NodeID) throws(GrammarError) -> Automaton {
        var entries: [NodeID] = []
        for rule in rules {
            guard let rule else { preconditionFailure("a rule without a body") }
            entries.append(rule)
        }
        return try Automaton(nodes: nodes, rules: entries, sets: sets, start: start)
    }

    /// Counts work that leaves no node behind.
    mutating func charge(_ count: Int = 1) throws(GrammarError) {
        charged += count
        // The clock costs more than most of the work.
        guard charged >= 256 else { return }
        charged = 0
        guard ContinuousClock.now < deadline else { throw .tooComplex("it takes too long to compile") }
    }

    /// Counts work on sets of characters, and what it leaves behind.
    ///
    /// - Parameter count: of their ranges.
    mutating func chargeSets(_ count: Int) throws(GrammarError) {
        ranges += count
        guard ranges <= limits.ranges else {
            throw .tooComplex("its sets of characters have more than \(limits.ranges) ranges together")
        }
        try charge(1 + count / 64)
    }

    private mutating func add(_ node: Automaton.Node) throws(GrammarError) -> NodeID {
        guard nodes.count < limits.nodes else {
            throw .tooComplex("it needs an automaton of more than \(limits.nodes) nodes")
        }
        try charge()
        nodes.append(node)
        return NodeID(nodes.count - 1)
    }

    // MARK: Bytes

    mutating func bytes(_ set: ByteSet, _ next: NodeID) throws(GrammarError) -> NodeID {
        let number: Int32
        if let known = setNumbers[set] {
            number = known
        } else {
            number = Int32(sets.count)
            sets.append(set)
            setNumbers[set] = number
        }
        let edge = Edge(set: number, next: next)
        if let known = knownBytes[edge] { return known }
        let node = try add(.bytes(set: number, next: next))
        knownBytes[edge] = node
        return node
    }

    mutating func literal(_ text: some BidirectionalCollection<UInt8>, _ next: NodeID) throws(GrammarError) -> NodeID {
        var next = next
        for byte in text.reversed() { next = try bytes(ByteSet(byte...byte), next) }
        return next
    }

    mutating func literal(_ text: String, _ next: NodeID) throws(GrammarError) -> NodeID {
        try literal(Array(text.utf8), next)
    }

    /// Any one of some words; their common beginnings are shared.
    mutating func words(_ words: [[UInt8]], _ next: NodeID) throws(GrammarError) -> NodeID {
        let sorted = words.sorted { $0.lexicographicallyPrecedes($1) }
        // From the last word to the first: the rest of each behind what it shares with the one before.
        return try wordsTrie(sorted[...], 0, next)
    }

    private mutating func wordsTrie(
        _ words: ArraySlice<[UInt8]>, _ depth: Int, _ next: NodeID
    ) throws(GrammarError) -> NodeID {
        try charge(words.count)
        if words.count == 1, let word = words.first { return try literal(word[depth...], next) }
        var targets: [NodeID] = []
        var index = words.startIndex
        while index < words.endIndex, words[index].count == depth {
            targets = [next]
            index += 1
        }
        while index < words.endIndex {
            let byte = words[index][depth]
            var stop = index
            var shared = Int.max
            while stop < words.endIndex, words[stop][depth] == byte {
                if stop > index { shared = min(shared, Self.commonPrefix(words[index], words[stop])) }
                stop += 1
            }
            // What all of them have in common is taken at once, so that the recursion is as deep as words differ.
            let until = stop - index == 1 ? words[index].count : shared
            let rest = stop - index == 1 ? next : try wordsTrie(words[index..<stop], until, next)
            targets.append(try literal(words[index][depth..<until], rest))
            index = stop
        }
        return try choice(targets)
    }

    private static func commonPrefix(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var count = 0
        while count < left.count, count < right.count, left[count] == right[count] { count += 1 }
        return count
    }

    // MARK: Scalars

    /// One scalar of a set.
    mutating func scalars(_ set: ScalarSet, _ spelling: Spelling, _ next: NodeID) throws(GrammarError) -> NodeID {
        try charge(1 + set.ranges.count / 64)
        let key = ScalarKey(ranges: set.ranges, spelling: spelling, next: next)
        if let known = knownScalars[key] { return known }
        var plain = set.intersection(Self.surrogates.inverted)
        var targets: [NodeID] = []
        if spelling == .json {
            let escaped = plain.intersection(Self.escaped)
            plain = plain.intersection(Self.escaped.inverted)
            for range in escaped.ranges {
                for value in range {
                    guard let scalar = Unicode.Scalar(value) else { continue }
                    targets.append(try literal(JSONText.spelling(of: scalar), next))
                }
            }
        }
        var encoder = UTF8Ranges(ranges: plain.ranges)
        targets += try encoder.nodes(&self, next)
        let node = try choice(targets)
        knownScalars[key] = node
        return node
    }

    private static let surrogates = ScalarSet([0xD800...0xDFFF])
    private static let escaped = ScalarSet([0...0x1F, 0x22...0x22, 0x5C...0x5C])

    // MARK: Structure

    /// A node whose ways on come later: the start of what leads back to it.
    mutating func placeholder() throws(GrammarError) -> NodeID { try add(.split([])) }

    mutating func fill(_ node: NodeID, _ targets: [NodeID]) { nodes[Int(node)] = .split(targets) }

    mutating func choice(_ targets: [NodeID]) throws(GrammarError) -> NodeID {
        try charge(targets.count)
        // Many alternatives may be empty, and lead to the same node.
        var seen: Set<NodeID> = [failure]
        let useful = targets.filter { seen.insert($0).inserted }
        switch useful.count {
        case 0: return failure
        case 1: return useful[0]
        default:
            ways += useful.count
            guard ways <= limits.waysPerNode * limits.nodes else {
                throw .tooComplex("its alternatives are more than \(limits.waysPerNode * limits.nodes)")
            }
            return try add(.split(useful))
        }
    }

    /// Between `atLeast` and `atMost` repetitions of what `body` makes. Counted on the stack, unless that is as simple.
    mutating func repeated(
        atLeast: Int, atMost: Int?, _ next: NodeID,
        _ body: (inout AutomatonBuilder, NodeID) throws(GrammarError) -> NodeID
    ) throws(GrammarError) -> NodeID {
        if let atMost {
            guard atLeast <= atMost else { return failure }
            if atMost == 0 { return next }
            if atMost == 1 {
                let once = try body(&self, next)
                return atLeast == 1 ? once : try choice([once, next])
            }
        } else if atLeast <= 1 {
            let loop = try placeholder()
            let entry = try body(&self, loop)
            fill(loop, [entry, next])
            return atLeast == 0 ? loop : entry
        }
        guard let lower = Int32(exactly: atLeast), let upper = Int32(exactly: atMost ?? Int(Automaton.unbounded)),
            lower < Automaton.unbounded
        else {
            throw .tooComplex("it repeats something more than \(Int32.max) times")
        }
        let loop = try placeholder()
        let again = try add(.again(loop: loop))
        let entry = try body(&self, again)
        nodes[Int(loop)] = .loop(body: entry, exit: next, atLeast: lower, atMost: upper)
        return loop
    }

    // MARK: Rules

    /// A rule whose body comes later.
    mutating func declareRule() -> Int {
        rules.append(nil)
        return rules.count - 1
    }

    /// - Parameter body: made with `end` at its end.
    mutating func define(_ rule: Int, _ body: NodeID) throws(GrammarError) {
        // A place of its own, so that two rules never begin at the same node.
        rules[rule] = try add(.split([body]))
    }

    mutating func call(_ rule: Int, _ next: NodeID) throws(GrammarError) -> NodeID {
        try add(.call(rule: Int32(rule), next: next))
    }
}
