import Synchronization

/// A structure compiled for a vocabulary. Requests share it, and what each of them finds out about it.
package final class Grammar: Sendable {
    package let trie: TokenTrie
    private let automaton: Automaton
    private let limits: GrammarLimits
    private let space: Mutex<Space>

    /// What is known.
    struct Space {
        var states: StateSpace
        var masks: [MaskKey: TokenMask] = [:]
        var maskMemory = 0
        /// How often everything was forgotten. Numbers of states mean nothing in another generation.
        var generation = 0
    }

    struct MaskKey: Hashable {
        var state: StateSpace.StateID
        var skipsSpace: Bool
    }

    /// A number of a state, and the generation it belongs to.
    struct Position: Sendable, Hashable {
        var generation: Int
        var state: StateSpace.StateID
    }

    /// - Throws: `unsatisfiable` or `tooComplex`.
    init(_ automaton: Automaton, _ trie: TokenTrie, limits: GrammarLimits) throws(GrammarError) {
        self.automaton = automaton
        self.trie = trie
        self.limits = limits
        space = Mutex(Space(states: try StateSpace(automaton, limits: limits)))
    }

    // MARK: Texts

    /// Where `bytes` lead from the start.
    ///
    /// - Throws: `tooComplex`.
    private static func follow(
        _ bytes: some Sequence<UInt8>, in space: inout Space, from start: StateSpace.StateID
    ) throws(GrammarError) -> StateSpace.StateID {
        var state = start
        for byte in bytes where state != StateSpace.dead { state = try space.states.next(state, byte) }
        return state
    }

    /// Where `history` leads, of which `position` is what was known.
    ///
    /// - Parameter new: the bytes at the end of `history` that `position` has not seen.
    func advance(_ position: Position, history: [UInt8], new: Int) throws(GrammarError) -> Position {
        try locked { space throws(GrammarError) in
            var state = position.state
            if position.generation == space.generation {
                state = try Self.follow(history[(history.count - new)...], in: &space, from: state)
            } else {
                state = try Self.follow(history, in: &space, from: space.states.start)
            }
            return Position(generation: space.generation, state: state)
        }
    }

    /// Whether it is the form of this text, from its start to its end.
    package func matches(_ text: some Sequence<UInt8>) throws(GrammarError) -> Bool {
        try locked { space throws(GrammarError) in
            let state = try Self.follow(text, in: &space, from: space.states.start)
            return space.states.isComplete(state)
        }
    }

    private static func current(
        _ position: Position, _ history: [UInt8], _ space: inout Space
    ) throws(GrammarError) -> StateSpace.StateID {
        position.generation == space.generation
            ? position.state : try follow(history, in: &space, from: space.states.start)
    }

    /// - Parameter forgets: whether what is known may go, where it takes too much memory.
    private func locked<Result: Sendable>(
        forgets: Bool = true, _ body: (inout Space) throws(GrammarError) -> Result
    ) throws(GrammarError) -> Result {
        try space.withLock { space throws(GrammarError) in
            if forgets, space.states.memory + space.maskMemory > limits.cacheBytes {
                space.states = try StateSpace(automaton, limits: limits)
                space.masks = [:]
                space.maskMemory = 0
                space.generation += 1
            }
            return try body(&space)
        }
    }

    // MARK: Masks

    /// The tokens that may follow `history`, and whether the text may end there.
    ///
    /// - Parameter isFirst: of the text's tokens. It loses spaces that the vocabulary's words begin with.
    /// - Throws: `tooComplex`.
    func mask(
        _ position: Position, history: [UInt8], isFirst: Bool
    ) throws(GrammarError) -> (tokens: TokenMask, isComplete: Bool) {
        let skipsSpace = isFirst && trie.leadingSpaces > 0
        // What another thread has found out just now is not forgotten before it was of use.
        let known = try locked(forgets: false) { space throws(GrammarError) in
            let state = try Self.current(position, history, &space)
            let key = MaskKey(state: state, skipsSpace: skipsSpace)
            return (mask: space.masks[key], isComplete: space.states.isComplete(state))
        }
        if let mask = known.mask { return (mask, known.isComplete) }
        return (try walk(position, history, skipsSpace: skipsSpace), known.isComplete)
    }

    /// Tries all tokens, those that begin alike together, and keeps what it finds. Now and then it lets others look up theirs.
    private func walk(
        _ position: Position, _ history: [UInt8], skipsSpace: Bool
    ) throws(GrammarError) -> TokenMask {
        var walk = Walk(trie)
        while true {
            let mask = try locked(forgets: false) { space throws(GrammarError) -> TokenMask? in
                // Another request may have had all forgotten meanwhile.
                if walk.generation != space.generation {
                    walk.begin(at: try Self.current(position, history, &space), generation: space.generation)
                }
                let key = MaskKey(state: walk.path[0], skipsSpace: skipsSpace)
                if let mask = space.masks[key] { return mask }
                guard try walk.proceed(through: trie, &space.states, skipsSpace: skipsSpace, limit: limits.work) else {
                    return nil
                }
                let mask = TokenMask(walk.tokens, vocabularySize: trie.vocabularySize)
                space.masks[key] = mask
                space.maskMemory += mask.memory
                return mask
            }
            if let mask { return mask }
        }
    }

    /// The search for the tokens that may follow a state.
    private struct Walk {
        var generation = -1
        /// The states on the way to the node, with the first.
        var path: [StateSpace.StateID]
        var tokens: [Int32] = []
        private var node = 0
        private var work = 0
        private var beginnings = 0

        /// What it does at a time: under a millisecond, as a rule.
        private static let nodes = 4_096
        private static let work = 16_384

        init(_ trie: TokenTrie) {
            path = Array(repeating: StateSpace.dead, count: trie.maximumDepth + 1)
        }

        mutating func begin(at state: StateSpace.StateID, generation: Int) {
            self.generation = generation
            path[0] = state
            tokens.removeAll(keepingCapacity: true)
            node = 0
            work = 0
            beginnings += 1
        }

        /// A part of it; all that is left where it had to begin anew.
        ///
        /// - Returns: whether it is through.
        /// - Throws: `tooComplex` where it has taken more work than the limit.
        mutating func proceed(
            through trie: TokenTrie, _ states: inout StateSpace, skipsSpace: Bool, limit: Int
        ) throws(GrammarError) -> Bool {
            let count = trie.bytes.count
            let begin = states.work
            defer { work += states.work - begin }
            let pause = beginnings > 1 ? (count, Int.max) : (Self.nodes, Self.work)
            for _ in 0..<pause.0 where node < count && states.work - begin < pause.1 {
                let depth = Int(trie.depths[node])
                let byte = trie.bytes[node]
                let isSkipped = skipsSpace && depth == 1 && byte == UInt8(ascii: " ")
                let state = isSkipped ? path[0] : try states.next(path[depth - 1], byte)
                guard state != StateSpace.dead else {
                    node = Int(trie.ends[node])
                    continue
                }
                path[depth] = state
                for index in trie.starts[node]..<trie.starts[node + 1] { tokens.append(trie.tokens[Int(index)]) }
                node += 1
                guard work + states.work - begin <= limit else { throw .tooComplex("it takes too much work to follow") }
            }
            return node >= count
        }
    }

    /// Whether the mask is there already.
    func knowsMask(_ position: Position) -> Bool {
        space.withLock {
            $0.generation == position.generation && $0.masks[MaskKey(state: position.state, skipsSpace: false)] != nil
        }
    }
}
