/// The syntax tree of a regular expression over Unicode scalars.
indirect enum RegexNode: Sendable {
    enum Greed { case greedy, lazy, possessive }

    enum Anchor: Sendable { case lineStart, lineEnd, textStart, textEnd, wordBoundary, notWordBoundary }

    case empty
    case set(ScalarSet)
    case sequence([RegexNode])
    case alternation([RegexNode])
    case repetition(RegexNode, minimum: Int, maximum: Int?, greed: Greed)
    case lookahead(RegexNode, negated: Bool)
    /// A lookbehind of one scalar.
    case lookbehind(ScalarSet, negated: Bool)
    case anchor(Anchor)

    /// Whether the node can match without consuming anything.
    var canBeEmpty: Bool {
        switch self {
        case .set: false
        case .empty, .lookahead, .lookbehind, .anchor: true
        case .sequence(let nodes): nodes.allSatisfy(\.canBeEmpty)
        case .alternation(let nodes): nodes.contains(where: \.canBeEmpty)
        case .repetition(let node, let minimum, _, _): minimum == 0 || node.canBeEmpty
        }
    }

    /// Whether the node holds an assertion, so that being able to match nothing does not mean that it always does.
    var holdsAssertion: Bool {
        switch self {
        case .set, .empty: false
        case .lookahead, .lookbehind, .anchor: true
        case .sequence(let nodes), .alternation(let nodes): nodes.contains(where: \.holdsAssertion)
        case .repetition(let node, _, _, _): node.holdsAssertion
        }
    }

    /// The scalars that a non-empty match can start with (a superset where assertions restrict it).
    var firstScalars: ScalarSet {
        switch self {
        case .set(let set): return set
        case .empty, .lookahead, .lookbehind, .anchor: return .empty
        case .alternation(let nodes):
            return ScalarSet(nodes.flatMap { $0.firstScalars.ranges })
        case .repetition(let node, _, _, _): return node.firstScalars
        case .sequence(let nodes):
            var result = ScalarSet.empty
            for node in nodes {
                result = result.union(node.firstScalars)
                if !node.canBeEmpty { break }
            }
            return result
        }
    }
}
