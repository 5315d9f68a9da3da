/// Token sequences that an answer must not have: the last token of one can't be chosen right behind the others.
package struct BannedSequences: Sendable {
    private let sequences: [[Int32]]
    /// How many of an answer's last tokens the start of a sequence can be.
    private let tailCount: Int
    /// The answer's last tokens.
    private var tail: [Int32] = []

    /// - Parameter sequences: none of them empty.
    package init(_ sequences: [[Int32]]) {
        precondition(sequences.allSatisfy { !$0.isEmpty })
        self.sequences = sequences
        tailCount = (sequences.lazy.map(\.count).max() ?? 1) - 1
    }

    /// Takes note of a generated token.
    package mutating func record(_ token: Int32) {
        guard tailCount > 0 else { return }
        if tail.count == tailCount { tail.removeFirst() }
        tail.append(token)
    }

    /// The tokens that can't come next; one may be given several times.
    package func forEachBanned(_ body: (Int32) -> Void) {
        for sequence in sequences where sequence.count - 1 <= tail.count {
            if tail.suffix(sequence.count - 1).elementsEqual(sequence.dropLast()) { body(sequence[sequence.count - 1]) }
        }
    }
}
