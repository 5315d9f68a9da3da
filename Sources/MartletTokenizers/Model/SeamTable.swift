/// Where a text can be cut without changing its BPE tokens: between two characters that stand next to each other in no
/// token. No merge can cross such a place, whatever the rest of the text is.
///
/// SentencePiece models have no pre-tokenizer, so that a whole document is one word; but hardly any of their tokens goes on
/// after a word's end, so nearly every space is a seam.
struct SeamTable: Sendable {
    /// Pairs of neighbouring scalars that occur inside some token.
    private var pairs: PairTable

    /// Pairs of ASCII characters, by first * 128 + second.
    private var asciiPairs = [Bool](repeating: false, count: 128 * 128)

    init(_ words: ByteStringTable) {
        pairs = PairTable(minimumCapacity: 1 << 14)
        for index in 0..<words.count {
            words.withBytes(of: index) { bytes in
                let bytes = bytes.assumingMemoryBound(to: UInt8.self)
                // Tokens that are not UTF-8 cannot be reached from scalars.
                guard String(validating: bytes, as: UTF8.self) != nil else { return }
                var previous: UInt32?
                var position = 0
                while position < bytes.count {
                    let (scalar, length) = UTF8Scalars.decode(bytes, at: position)
                    if let previous { insert(previous, scalar) }
                    previous = scalar
                    position += length
                }
            }
        }
    }

    private mutating func insert(_ left: UInt32, _ right: UInt32) {
        if left < 0x80, right < 0x80 {
            asciiPairs[Int(left << 7 | right)] = true
        } else {
            pairs.insert(TokenID(left), TokenID(right), PairTable.Merge(rank: 0, result: 0))
        }
    }

    @inline(__always)
    private func holds(_ left: UInt32, _ right: UInt32) -> Bool {
        left < 0x80 && right < 0x80
            ? asciiPairs[Int(left << 7 | right)] : pairs.find(TokenID(left), TokenID(right)) != nil
    }

    @inline(__always)
    func forEachSeam(in word: UnsafeBufferPointer<UInt8>, _ body: (Int) -> Void) {
        if word.isEmpty { return }
        var (previous, position) = UTF8Scalars.decode(word, at: 0)
        while position < word.count {
            let (scalar, length) = UTF8Scalars.decode(word, at: position)
            if !holds(previous, scalar) { body(position) }
            previous = scalar
            position += length
        }
    }
}
