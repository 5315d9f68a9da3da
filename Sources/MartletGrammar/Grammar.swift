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

    private func locked<Result: Sendable>(
        _ body: (inout Space) throws(GrammarError) -> Result
    ) throws(GrammarError) -> Result {
        try space.withLock { space throws(GrammarError) in
            if space.states.memory + space.maskMemory > limits.cacheBytes {
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
        try locked { space throws(GrammarError) in
            let state = try Self.current(position, history, &space)
            let isComplete = space.states.isComplete(state)
            let key = MaskKey(state: state, skipsSpace: isFirst && trie.leadingSpaces > 0)
            if let known = space.masks[key] { return (known, isComplete) }
            let mask = try walk(&space, from: state, skipsSpace: key.skipsSpace)
            space.masks[key] = mask
            space.maskMemory += mask.memory
            return (mask, isComplete)
        }
    }

    /// Tries all tokens, those that begin alike together.
    private func walk(
        _ space: inout Space, from start: StateSpace.StateID, skipsSpace: Bool
    ) throws(GrammarError) -> TokenMask {
        var tokens: [Int32] = []
        let budget = space.states.work + limits.work
        var path = [StateSpace.StateID](repeating: StateSpace.dead, count: trie.maximumDepth + 1)
        path[0] = start
        let count = trie.bytes.count
        var node = 0
        while node < count {
            let depth = Int(trie.depths[node])
            let byte = trie.bytes[node]
            let state: StateSpace.StateID
            if skipsSpace, depth == 1, byte == UInt8(ascii: " ") {
                state = start
            } else {
                state = try space.states.next(path[depth - 1], byte)
            }
            guard state != StateSpace.dead else {
                node = Int(trie.ends[node])
                continue
            }
            path[depth] = state
            for index in trie.starts[node]..<trie.starts[node + 1] { tokens.append(trie.tokens[Int(index)]) }
            node += 1
            guard space.states.work <= budget else { throw .tooComplex("it takes too much work to follow") }
        }
        return TokenMask(tokens, vocabularySize: trie.vocabularySize)
    }

    /// Whether the mask is there already.
    func knowsMask(_ position: Position) -> Bool {
        space.withLockIfAvailable {
            $0.generation == position.generation && $0.masks[MaskKey(state: position.state, skipsSpace: false)] != nil
        } ?? false
    }
}
