/// Follows one answer through a grammar. A value: a copy goes its own way, as a draft does.
package struct GrammarMatcher: Sendable {
    package let grammar: Grammar
    /// Nil at the start of the answer.
    private var position: Grammar.Position?
    /// Whether a token of the text came, even if it spelled nothing but a space that does not count.
    private var hasBegun = false
    /// Why it can't be followed any further.
    private var failure: GrammarError?

    /// - Parameter continuesText: the answer is no text of its own, so its first token keeps its space.
    package init(_ grammar: Grammar, continuesText: Bool = false) {
        self.grammar = grammar
        hasBegun = continuesText
    }

    /// The tokens that may come next, and whether the answer may end here.
    ///
    /// - Throws: `tooComplex`.
    package func mask() throws(GrammarError) -> (tokens: TokenMask, isComplete: Bool) {
        if let failure { throw failure }
        return try grammar.mask(position, isFirst: !hasBegun)
    }

    /// Takes a token of the answer. Behind one that does not fit no token may follow.
    package mutating func accept(_ token: Int32) {
        guard failure == nil else { return }
        var bytes = grammar.trie.bytes(of: token) ?? []
        if !hasBegun, grammar.trie.leadingSpaces > 0, bytes.first == UInt8(ascii: " ") { bytes.removeFirst() }
        hasBegun = true
        do {
            position = try grammar.advance(position, by: bytes)
        } catch {
            failure = error
        }
    }

    /// Has the next mask ready before it is asked for.
    package func prepareMask() { _ = try? mask() }

    package var hasPreparedMask: Bool { grammar.knowsMask(position) }
}
