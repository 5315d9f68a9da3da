/// The tokens that may come next.
package enum TokenMask: Sendable {
    /// Few of them.
    case list([Int32])
    /// A bit for each token.
    case bits([UInt64])

    init(_ tokens: [Int32], vocabularySize: Int) {
        // A list takes 32 bits for each token in it.
        guard tokens.count > vocabularySize / 32 else {
            self = .list(tokens)
            return
        }
        var words = [UInt64](repeating: 0, count: (vocabularySize + 63) / 64)
        for token in tokens { words[Int(token) >> 6] |= 1 << UInt64(token & 63) }
        self = .bits(words)
    }

    package func contains(_ token: Int32) -> Bool {
        switch self {
        case .list(let tokens): tokens.contains(token)
        case .bits(let words):
            token >= 0 && Int(token) >> 6 < words.count && words[Int(token) >> 6] >> UInt64(token & 63) & 1 != 0
        }
    }

    @inlinable
    package func forEachToken(_ body: (Int) -> Void) {
        switch self {
        case .list(let tokens): for token in tokens { body(Int(token)) }
        case .bits(let words):
            for (index, word) in words.enumerated() {
                var rest = word
                while rest != 0 {
                    body(index << 6 + rest.trailingZeroBitCount)
                    rest &= rest &- 1
                }
            }
        }
    }

    package var tokens: [Int32] {
        if case .list(let tokens) = self { return tokens }
        var tokens: [Int32] = []
        forEachToken { tokens.append(Int32($0)) }
        return tokens
    }

    package var isEmpty: Bool {
        switch self {
        case .list(let tokens): tokens.isEmpty
        case .bits(let words): words.allSatisfy { $0 == 0 }
        }
    }

    var memory: Int {
        switch self {
        case .list(let tokens): tokens.count * 4 + 64
        case .bits(let words): words.count * 8 + 64
        }
    }
}
