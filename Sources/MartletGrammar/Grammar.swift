import Synchronization

/// A structure compiled for a vocabulary. Requests share it, and what each of them finds out about it.
package final class Grammar: Sendable {
    package let trie: TokenTrie
    private let automaton: Automaton
    private let limits: GrammarLimits
    /// Where answers go on. When it has grown too large another takes its place, with nothing in it yet.
    private let current: Mutex<Exploration>

    /// What is known of the automaton. Whoever stands in it keeps it, however large it has grown.
    final class Exploration: Sendable {
        let known: Mutex<Known>
        let start: StateSpace.StateID

        init(_ automaton: Automaton, _ limits: GrammarLimits) throws(GrammarError) {
            let states = try StateSpace(automaton, limits: limits)
            start = states.start
            known = Mutex(Known(states: states))
        }

        /// The same place as one of an older exploration.
        func adopt(_ position: Position) -> Position {
            // Nobody has locks the other way round: places move to newer explorations only.
            position.exploration.known.withLock { old in
                known.withLock { new in
                    Position(exploration: self, state: new.states.adopt(position.state, of: old.states))
                }
            }
        }
    }

    struct Known {
        var states: StateSpace
        var masks: [MaskKey: TokenMask] = [:]
        var maskMemory = 0

        var memory: Int { states.memory + maskMemory }
    }

    struct MaskKey: Hashable {
        var state: StateSpace.StateID
        var skipsSpace: Bool
    }

    /// Where an answer is.
    struct Position: Sendable {
        let exploration: Exploration
        let state: StateSpace.StateID
    }

    /// - Throws: `unsatisfiable` or `tooComplex`.
    init(_ automaton: Automaton, _ trie: TokenTrie, limits: GrammarLimits) throws(GrammarError) {
        self.automaton = automaton
        self.trie = trie
        self.limits = limits
        current = Mutex(try Exploration(automaton, limits))
    }

    private var start: Position {
        let exploration = current.withLock { $0 }
        return Position(exploration: exploration, state: exploration.start)
    }

    /// What it takes, roughly, in bytes.
    package var memory: Int { automaton.memory + current.withLock { $0 }.known.withLock { $0.memory } }

    // MARK: Texts

    /// Where `bytes` lead.
    ///
    /// - Throws: `tooComplex`.
    private func follow(
        _ bytes: some Sequence<UInt8>, from start: StateSpace.StateID, in states: inout StateSpace
    ) throws(GrammarError) -> StateSpace.StateID {
        var state = start
        let begin = states.work
        for byte in bytes where state != StateSpace.dead {
            state = try states.next(state, byte)
            guard states.work - begin <= limits.work else { throw .tooComplex("it takes too much work to follow") }
        }
        return state
    }

    /// Where `bytes` lead. Of an exploration that takes too much memory only the place itself goes over into the next one.
    ///
    /// - Parameter position: nil at the start of the text.
    /// - Throws: `tooComplex`.
    func advance(_ position: Position?, by bytes: some Sequence<UInt8>) throws(GrammarError) -> Position {
        let position = position ?? start
        let (state, memory) = try position.exploration.known.withLock { known throws(GrammarError) in
            (try follow(bytes, from: position.state, in: &known.states), known.memory)
        }
        let newest = try current.withLock { current throws(GrammarError) -> Exploration in
            if current === position.exploration, memory > limits.cacheBytes {
                current = try Exploration(automaton, limits)
            }
            return current
        }
        let result = Position(exploration: position.exploration, state: state)
        return newest === position.exploration ? result : newest.adopt(result)
    }

    /// Whether it is the form of this text, from its start to its end.
    package func matches(_ text: some Sequence<UInt8>) throws(GrammarError) -> Bool {
        let start = start
        return try start.exploration.known.withLock { known throws(GrammarError) in
            let state = try follow(text, from: start.state, in: &known.states)
            return known.states.isComplete(state)
        }
    }

    // MARK: Masks

    /// The tokens that may come next, and whether the text may end there.
    ///
    /// - Parameters:
    ///   - position: nil at the start of the text.
    ///   - isFirst: of the text's tokens. It loses spaces that the vocabulary's words begin with.
    /// - Throws: `tooComplex`.
    func mask(
        _ position: Position?, isFirst: Bool
    ) throws(GrammarError) -> (tokens: TokenMask, isComplete: Bool) {
        let position = position ?? start
        let key = MaskKey(state: position.state, skipsSpace: isFirst && trie.leadingSpaces > 0)
        let (mask, isComplete) = position.exploration.known.withLock {
            ($0.masks[key], $0.states.isComplete(position.state))
        }
        if let mask { return (mask, isComplete) }
        return (try walk(position.exploration, key), isComplete)
    }

    /// Tries all tokens, those that begin alike together, and keeps what it finds. Now and then it lets others look up theirs.
    private func walk(_ exploration: Exploration, _ key: MaskKey) throws(GrammarError) -> TokenMask {
        var walk = Walk(trie, key)
        while true {
            let mask = try exploration.known.withLock { known throws(GrammarError) -> TokenMask? in
                // Another thread may have found it meanwhile.
                if let mask = known.masks[key] { return mask }
                guard try walk.proceed(through: trie, &known.states, limits) else { return nil }
                let mask = TokenMask(walk.tokens, vocabularySize: trie.vocabularySize)
                known.masks[key] = mask
                known.maskMemory += mask.memory
                return mask
            }
            if let mask { return mask }
        }
    }

    /// The search for the tokens that may follow a state.
    private struct Walk {
        /// The states on the way to the node, with the first.
        private var path: [StateSpace.StateID]
        private(set) var tokens: [Int32] = []
        private let skipsSpace: Bool
        private var node = 0
        private var work = 0
        private var memory = 0

        /// What it does at a time: under a millisecond, as a rule.
        private static let nodes = 4_096
        private static let work = 16_384

        init(_ trie: TokenTrie, _ key: MaskKey) {
            path = Array(repeating: StateSpace.dead, count: trie.maximumDepth + 1)
            path[0] = key.state
            skipsSpace = key.skipsSpace
        }

        /// A part of it.
        ///
        /// - Returns: whether it is through.
        /// - Throws: `tooComplex` where it has taken more than the limits.
        mutating func proceed(
            through trie: TokenTrie, _ states: inout StateSpace, _ limits: GrammarLimits
        ) throws(GrammarError) -> Bool {
            let count = trie.bytes.count
            let begin = (work: states.work, memory: states.memory)
            defer {
                work += states.work - begin.work
                memory += states.memory - begin.memory
            }
            for _ in 0..<Self.nodes where node < count && states.work - begin.work < Self.work {
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
                guard work + states.work - begin.work <= limits.work,
                    memory + states.memory - begin.memory <= limits.maskBytes
                else { throw .tooComplex("it takes too much work to follow") }
            }
            return node >= count
        }
    }

    /// Whether the mask is there already.
    func knowsMask(_ position: Position?) -> Bool {
        let position = position ?? start
        return position.exploration.known.withLock {
            $0.masks[MaskKey(state: position.state, skipsSpace: false)] != nil
        }
    }
}
