package import MartletTokenizers

/// The vocabulary as a trie over the bytes of its tokens, so that tokens that begin alike are tried together.
package struct TokenTrie: Sendable {
    /// Nodes in preorder, without the root: the byte that leads to each, how deep it lies (from 1), and where its subtree
    /// ends.
    let bytes: [UInt8]
    let depths: [UInt16]
    let ends: [Int32]
    /// The tokens that end at node i are `tokens[starts[i]..<starts[i + 1]]`.
    let starts: [Int32]
    let tokens: [Int32]
    package let vocabularySize: Int
    /// Spaces that the text loses at its start.
    let leadingSpaces: Int
    let maximumDepth: Int

    /// The text of any token.
    private let table: [Int32: [UInt8]]

    /// Longer tokens are left out: none means anything.
    private static let longestToken = 256

    package init(_ tokenizer: Tokenizer) {
        var entries: [(bytes: [UInt8], token: Int32)] = []
        for token in 0..<Int32(tokenizer.vocabularySize) where !tokenizer.isSpecial(token) {
            entries.append((tokenizer.tokenBytes(token), token))
        }
        self.init(entries, vocabularySize: tokenizer.vocabularySize, leadingSpaces: tokenizer.leadingSpaces)
    }

    /// - Parameter entries: tokens and what they spell; those that spell nothing are left out.
    package init(_ entries: [(bytes: [UInt8], token: Int32)], vocabularySize: Int, leadingSpaces: Int = 0) {
        let sorted = entries.filter { (1...Self.longestToken).contains($0.bytes.count) }
            .sorted { ($0.bytes, $0.token) < ($1.bytes, $1.token) }
        var bytes: [UInt8] = []
        var depths: [UInt16] = []
        var ends: [Int32] = []
        var starts: [Int32] = []
        var tokens: [Int32] = []
        /// The nodes on the way to the last one.
        var path: [Int] = []
        var last: [UInt8] = []
        for entry in sorted {
            var shared = 0
            while shared < min(last.count, entry.bytes.count), last[shared] == entry.bytes[shared] { shared += 1 }
            while path.count > shared { ends[path.removeLast()] = Int32(bytes.count) }
            for byte in entry.bytes[shared...] {
                path.append(bytes.count)
                bytes.append(byte)
                depths.append(UInt16(path.count))
                ends.append(0)
                starts.append(Int32(tokens.count))
            }
            tokens.append(entry.token)
            last = entry.bytes
        }
        while let node = path.popLast() { ends[node] = Int32(bytes.count) }
        starts.append(Int32(tokens.count))
        self.bytes = bytes
        self.depths = depths
        self.ends = ends
        self.starts = starts
        self.tokens = tokens
        self.vocabularySize = vocabularySize
        self.leadingSpaces = leadingSpaces
        maximumDepth = Int(depths.max() ?? 0)
        table = Dictionary(sorted.map { ($0.token, $0.bytes) }, uniquingKeysWith: { first, _ in first })
    }

    package func text(_ token: Int32) -> [UInt8] { table[token] ?? [] }

    /// What a token spells; nil for tokens that are no text.
    func bytes(of token: Int32) -> [UInt8]? { table[token] }
}

private func < (left: ([UInt8], Int32), right: ([UInt8], Int32)) -> Bool {
    left.0 == right.0 ? left.1 < right.1 : left.0.lexicographicallyPrecedes(right.0)
}
