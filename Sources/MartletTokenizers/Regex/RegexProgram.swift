/// A compiled regular expression: leftmost-first, like the backtracking engines that tokenizers were trained with, but
/// linear in the text (see `RegexMatcher`).
struct RegexProgram: Sendable {
    enum Instruction: Sendable {
        /// Consumes one scalar of a set.
        case set(Int)
        /// Consumes `minimum` to `maximum` scalars of a set, as many as possible, and gives them back one by one unless
        /// it is possessive.
        case run(set: Int, minimum: Int, maximum: Int, isPossessive: Bool, memo: Int)
        /// A possessive run that has nothing to remember: it is short, or nothing after it can fail.
        case simpleRun(set: Int, minimum: Int, maximum: Int)
        /// Tries `first`, then `second`.
        case split(first: Int, second: Int, memo: Int)
        case jump(Int)
        /// Whether the next scalar is in a set; no scalar counts as outside of it.
        case peek(set: Int, negated: Bool)
        case peekBack(set: Int, negated: Bool)
        /// The body follows and ends in `accept`; the match goes on at `resume`.
        case look(negated: Bool, resume: Int, memo: Int)
        case anchor(RegexNode.Anchor)
        case accept
    }

    /// One of the alternatives at the top of the pattern; they are tried in order.
    struct Alternative: Sendable {
        var start: Int
        /// What a match can start with; nil if it can be empty.
        var first: ScalarBitmap?
    }

    /// Bounds what a file can make us compile; the largest published pattern needs fewer than 100.
    static let maximumInstructions = 8192
    /// Nodes that are compiled, each as often as it is repeated. What matches nothing but the empty text needs no
    /// instructions, so that these alone bound no time.
    static let maximumNodes = 4 * maximumInstructions
    /// One memo takes two bits for each byte of text.
    static let maximumMemos = 256
    static let maximumAlternatives = 64

    let pattern: String
    private(set) var instructions: [Instruction] = []
    private(set) var sets: [ScalarBitmap] = []
    private(set) var alternatives: [Alternative] = []
    private(set) var memoCount = 0
    /// By ASCII character, a bit for each alternative that can match there.
    private(set) var asciiAlternatives = [UInt64](repeating: 0, count: 128)
    let word: ScalarBitmap?

    /// What comes after a node, as far as it decides whether a run may keep all that it took.
    private enum Follow {
        /// The rest always matches.
        case accepts
        /// The rest needs a first scalar of this set.
        case needs(ScalarSet)
        case unknown
    }

    private var knownSets: [ScalarSet] = []
    private var nodeCount = 0
    /// Whether a lookahead's body is being compiled.
    private var isLooking = false

    init(_ pattern: String) throws(TokenizerError) {
        try self.init(try RegexParser.parse(pattern), pattern: pattern)
    }

    init(_ node: RegexNode, pattern: String) throws(TokenizerError) {
        self.pattern = pattern
        word = Self.holdsWordBoundary(node) ? ScalarBitmap(UnicodeProperties.word) : nil
        var branches = [node]
        if case .alternation(let nodes) = node, nodes.count <= Self.maximumAlternatives { branches = nodes }
        for (index, branch) in branches.enumerated() {
            let first = branch.canBeEmpty ? nil : ScalarBitmap(branch.firstScalars)
            alternatives.append(Alternative(start: instructions.count, first: first))
            for ascii in 0..<128 where first?.contains(ascii: UInt8(ascii)) ?? true {
                asciiAlternatives[ascii] |= 1 << UInt64(index)
            }
            try compile(branch, follow: .accepts)
            try emit(.accept)
        }
        knownSets = []
    }

    private static func holdsWordBoundary(_ node: RegexNode) -> Bool {
        switch node {
        case .anchor(let anchor): anchor == .wordBoundary || anchor == .notWordBoundary
        case .sequence(let nodes), .alternation(let nodes): nodes.contains(where: holdsWordBoundary)
        case .repetition(let node, _, _, _), .lookahead(let node, _): holdsWordBoundary(node)
        case .empty, .set, .lookbehind: false
        }
    }

    private mutating func emit(_ instruction: Instruction) throws(TokenizerError) {
        guard instructions.count < Self.maximumInstructions else { throw tooLarge }
        instructions.append(instruction)
    }

    private mutating func memo() throws(TokenizerError) -> Int {
        guard memoCount < Self.maximumMemos else { throw tooLarge }
        memoCount += 1
        return memoCount - 1
    }

    private var tooLarge: TokenizerError { .unsupported("pattern too large: \(pattern)") }

    private mutating func index(of set: ScalarSet) -> Int {
        if let known = knownSets.firstIndex(of: set) { return known }
        knownSets.append(set)
        sets.append(ScalarBitmap(set))
        return sets.count - 1
    }

    private mutating func compile(_ node: RegexNode, follow: Follow) throws(TokenizerError) {
        guard nodeCount < Self.maximumNodes else { throw tooLarge }
        nodeCount += 1
        switch node {
        case .empty: break
        case .set(let set): try emit(.set(index(of: set)))
        case .sequence(let nodes):
            var follows = [follow]
            for node in nodes.reversed() { follows.append(Self.follow(node, follows[follows.count - 1])) }
            for (offset, node) in nodes.enumerated() {
                try compile(node, follow: follows[nodes.count - 1 - offset])
            }
        case .alternation(let nodes): try compileAlternation(nodes[...], follow: follow)
        case .repetition(.set(let set), let minimum, let maximum, let greed) where greed != .lazy:
            try compileRun(set, minimum, maximum, isPossessive: greed == .possessive, follow: follow)
        case .repetition(let node, let minimum, let maximum, let greed):
            try compileRepetition(node, minimum, maximum, isLazy: greed == .lazy)
        case .lookahead(.set(let set), let negated): try emit(.peek(set: index(of: set), negated: negated))
        case .lookahead(let node, let negated):
            let look = instructions.count
            let outer = isLooking
            isLooking = true
            defer { isLooking = outer }
            try emit(.jump(0))
            try compile(node, follow: .accepts)
            try emit(.accept)
            instructions[look] = .look(negated: negated, resume: instructions.count, memo: try memo())
        case .lookbehind(let set, let negated): try emit(.peekBack(set: index(of: set), negated: negated))
        case .anchor(let anchor): try emit(.anchor(anchor))
        }
    }

    /// What `node`, followed by `follow`, looks like to what comes before it.
    private static func follow(_ node: RegexNode, _ follow: Follow) -> Follow {
        if node.holdsAssertion { return .unknown }
        guard node.canBeEmpty else { return .needs(node.firstScalars) }
        switch follow {
        case .accepts: return .accepts
        case .needs(let set): return .needs(set.union(node.firstScalars))
        case .unknown: return .unknown
        }
    }

    private mutating func compileAlternation(_ nodes: ArraySlice<RegexNode>, follow: Follow) throws(TokenizerError) {
        var jumps: [Int] = []
        for node in nodes.dropLast() {
            let split = instructions.count
            try emit(.jump(0))
            try compile(node, follow: follow)
            jumps.append(instructions.count)
            try emit(.jump(0))
            instructions[split] = .split(first: split + 1, second: instructions.count, memo: try memo())
        }
        if let last = nodes.last { try compile(last, follow: follow) }
        for jump in jumps { instructions[jump] = .jump(instructions.count) }
    }

    private mutating func compileRun(
        _ set: ScalarSet, _ minimum: Int, _ maximum: Int?, isPossessive: Bool, follow: Follow
    ) throws(TokenizerError) {
        // Giving scalars back cannot help if the rest never fails, or if it cannot start with a scalar of the run.
        var keepsAll = isPossessive
        var isLast = false
        switch follow {
        case .accepts: (keepsAll, isLast) = (true, true)
        case .needs(let first): keepsAll = keepsAll || first.isDisjoint(with: set)
        case .unknown: break
        }
        let set = index(of: set)
        if isLast, isLooking {
            // Where only success counts, the end of a body need not go further than it must.
            try emit(.simpleRun(set: set, minimum: minimum, maximum: minimum))
        } else if keepsAll, isLast || maximum != nil {
            try emit(.simpleRun(set: set, minimum: minimum, maximum: maximum ?? .max))
        } else {
            try emit(
                .run(
                    set: set, minimum: minimum, maximum: maximum ?? .max, isPossessive: keepsAll, memo: try memo()))
        }
    }

    private mutating func compileRepetition(
        _ node: RegexNode, _ minimum: Int, _ maximum: Int?, isLazy: Bool
    ) throws(TokenizerError) {
        func split(to body: Int, or exit: Int, memo: Int) -> Instruction {
            isLazy ? .split(first: exit, second: body, memo: memo) : .split(first: body, second: exit, memo: memo)
        }
        for _ in 0..<minimum { try compile(node, follow: .unknown) }
        guard let maximum else {
            let loop = instructions.count
            try emit(.jump(0))
            try compile(node, follow: .unknown)
            try emit(.jump(loop))
            instructions[loop] = split(to: loop + 1, or: instructions.count, memo: try memo())
            return
        }
        var splits: [Int] = []
        for _ in minimum..<maximum {
            splits.append(instructions.count)
            try emit(.jump(0))
            try compile(node, follow: .unknown)
        }
        for index in splits { instructions[index] = split(to: index + 1, or: instructions.count, memo: try memo()) }
    }
}
