import MartletGrammar
import MartletTokenizers
import Synchronization

/// Structures compiled for one vocabulary, the last few of them: what one request finds out serves the next.
final class GrammarCache: Sendable {
    private let tokenizer: Tokenizer
    /// The vocabulary as a trie takes a tenth of a second: it is made for the first request that needs it.
    private let trie = Mutex<TokenTrie?>(nil)
    /// The last used at the end.
    private let grammars = Mutex<[(structure: OutputStructure, grammar: Grammar)]>([])

    private let thread = QuietThread()
    /// How many requests wait for each structure.
    private let waiting = Mutex<[OutputStructure: Int]>([:])

    private static let capacity = 16
    /// What all of them may take, in bytes.
    private let mostMemory: Int
    /// Structures that may wait for the thread. Each takes `GrammarLimits.time` at most.
    private static let longestQueue = 32

    init(_ tokenizer: Tokenizer, mostMemory: Int = 128 << 20) {
        self.tokenizer = tokenizer
        self.mostMemory = mostMemory
    }

    /// - Parameter terms: of the request: how long it waits.
    /// - Throws: `invalidParameter` for what can't be compiled, `queueFull`, `queueTimeout`, `deadlineExceeded`.
    func grammar(_ structure: OutputStructure, _ terms: RequestTerms) async throws(EngineError) -> Grammar {
        if let known = take(structure) { return known }
        guard enter(structure) else {
            throw EngineError(
                .queueFull, "\(Self.longestQueue) structures wait to be compiled already; try again later")
        }
        defer { leave(structure) }
        // What takes long to compile must not hold up others' requests, so it is done elsewhere, one after the other.
        let deadline = [terms.queueDeadline, terms.deadline].compactMap { $0 }.min()
        let result = await thread.run(until: deadline) {
            Result { () throws(EngineError) -> Grammar in
                // Another request may have asked for it meanwhile.
                if let known = self.take(structure) { return known }
                let grammar = try QuietThread.quietly { () throws(EngineError) in try self.compile(structure) }
                self.keep(grammar, of: structure)
                return grammar
            }
        }
        guard let result else {
            if Task.isCancelled { throw .cancelled }
            throw EngineError(deadline == terms.queueDeadline ? .queueTimeout : .deadline)
        }
        return try result.get()
    }

    /// - Returns: whether there is room. All that wait for the same structure wait for one compilation.
    private func enter(_ structure: OutputStructure) -> Bool {
        waiting.withLock { waiting in
            guard waiting[structure] != nil || waiting.count < Self.longestQueue else { return false }
            waiting[structure, default: 0] += 1
            return true
        }
    }

    private func leave(_ structure: OutputStructure) {
        waiting.withLock { waiting in
            guard let count = waiting[structure] else { return }
            waiting[structure] = count > 1 ? count - 1 : nil
        }
    }

    private func compile(_ structure: OutputStructure) throws(EngineError) -> Grammar {
        let trie = trie.withLock { trie in
            if let trie { return trie }
            let made = TokenTrie(tokenizer)
            trie = made
            return made
        }
        do {
            let grammar = try Grammar(structure, trie)
            // What is too complex to follow shows here already, as a rule.
            _ = try GrammarMatcher(grammar).mask()
            return grammar
        } catch {
            throw .invalid("structure", "is refused: \(error)")
        }
    }

    private func keep(_ grammar: Grammar, of structure: OutputStructure) {
        grammars.withLock { grammars in
            grammars.append((structure, grammar))
            trim(&grammars)
        }
    }

    private func take(_ structure: OutputStructure) -> Grammar? {
        grammars.withLock { grammars in
            guard let index = grammars.lastIndex(where: { $0.structure == structure }) else { return nil }
            let entry = grammars.remove(at: index)
            grammars.append(entry)
            trim(&grammars)
            return entry.grammar
        }
    }

    /// Lets go of those that nobody has asked for the longest. They grow while answers follow them, which keep what they need.
    private func trim(_ grammars: inout [(structure: OutputStructure, grammar: Grammar)]) {
        let sizes = grammars.map(\.grammar.memory)
        var total = sizes.reduce(0, +)
        var count = 0
        while grammars.count - count > 1, grammars.count - count > Self.capacity || total > mostMemory {
            total -= sizes[count]
            count += 1
        }
        grammars.removeFirst(count)
    }
}
