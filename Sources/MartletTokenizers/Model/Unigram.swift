/// The unigram language model of SentencePiece (Kudo 2018): the segmentation with the highest sum of token scores.
struct Unigram: Sendable {
    /// How much worse an unknown character is than the worst token.
    private static let unknownPenalty = 10.0

    private let trie: ByteTrie
    private let scores: [Double]
    private let unknown: TokenID?
    private let unknownScore: Double
    private let fallback: [TokenID]

    /// `words` holds the vocabulary by token id, `scores` the log probability of each.
    init(words: ByteStringTable, scores: [Double], unknown: TokenID?, usesByteFallback: Bool) throws(TokenizerError) {
        guard scores.count == words.count else { throw .malformed("\(words.count) tokens but \(scores.count) scores") }
        if let unknown, !words.contains(unknown) { throw .malformed("unk_id \(unknown) is out of range") }
        var trie = ByteTrie()
        for index in 0..<words.count { trie.insert(words[index], value: Int32(index)) }
        self.trie = trie
        self.scores = scores
        self.unknown = unknown
        unknownScore = (scores.min() ?? 0) - Self.unknownPenalty
        let bytes = (0..<256).map { ByteFallback.token(UInt8($0), in: words) ?? -1 }
        fallback = usesByteFallback ? bytes : []
    }

    /// The best way to a position.
    struct Node {
        var score = 0.0
        /// Where the last piece starts; -1 if there is no way.
        var start: Int32 = -1
        /// The last piece; -1 for an unknown character.
        var token: TokenID = -1
    }

    /// Appends the tokens of `word` to `output` by Viterbi's algorithm, linear in the word (times the longest token).
    ///
    /// Neighbouring unknown characters are one piece. A piece that is unknown becomes its byte tokens where the vocabulary
    /// has them all, else the unknown token, else nothing.
    func encode(_ word: UnsafeBufferPointer<UInt8>, _ scratch: inout UnigramScratch, _ output: inout [TokenID]) {
        if word.isEmpty || scratch.cache.append(word, to: &output) { return }
        let first = output.count
        scratch.nodes.removeAll(keepingCapacity: true)
        scratch.nodes.append(contentsOf: repeatElement(Node(), count: word.count + 1))
        scratch.nodes.withUnsafeMutableBufferPointer { best in
            search(word, best)
            appendPath(best, word, &output)
        }
        scratch.cache.store(word, output[first...])
    }

    private func search(_ word: UnsafeBufferPointer<UInt8>, _ best: UnsafeMutableBufferPointer<Node>) {
        func offer(_ score: Double, _ start: Int, _ end: Int, _ token: TokenID) {
            if best[end].start < 0 || score > best[end].score {
                best[end] = Node(score: score, start: Int32(start), token: token)
            }
        }
        var position = 0
        while position < word.count {
            let score = best[position].score
            let length = UTF8Scalars.length(word[position])
            var hasCharacter = false
            trie.forEachPrefix(of: word, at: position) { tokenLength, token in
                offer(score + scores[Int(token)], position, position + tokenLength, token)
                if tokenLength == length { hasCharacter = true }
            }
            if !hasCharacter { offer(score + unknownScore, position, position + length, -1) }
            position += length
        }
    }

    private func appendPath(
        _ best: UnsafeMutableBufferPointer<Node>, _ word: UnsafeBufferPointer<UInt8>, _ output: inout [TokenID]
    ) {
        let first = output.count
        var end = word.count
        while end > 0 {
            var start = Int(best[end].start)
            if best[end].token >= 0, best[end].token != unknown {
                output.append(best[end].token)
                end = start
                continue
            }
            while start > 0, best[start].token < 0 || best[start].token == unknown { start = Int(best[start].start) }
            let piece = word[start..<end]
            if !fallback.isEmpty, piece.allSatisfy({ fallback[Int($0)] >= 0 }) {
                for byte in piece.reversed() { output.append(fallback[Int(byte)]) }
            } else if let unknown {
                output.append(unknown)
            }
            end = start
        }
        output[first...].reverse()
    }
}

/// What one call of `encode` works with, kept from word to word.
struct UnigramScratch {
    fileprivate var nodes: [Unigram.Node] = []
    fileprivate var cache: WordCache

    /// `textLength` in bytes: short texts are not worth a cache.
    init(textLength: Int) {
        cache = WordCache(isEnabled: textLength > WordCache.minimumTextLength)
    }
}

extension ByteStringTable {
    func contains(_ token: TokenID) -> Bool { token >= 0 && Int(token) < count }
}
