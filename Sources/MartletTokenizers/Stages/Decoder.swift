/// Turns tokens back into text: what each token stands for, and how the pieces join.
///
/// The reference runs a chain of decoders over the whole list of tokens. All chains of language models come down to bytes
/// for each token and a rule for the start of the text, which is what makes streaming exact.
struct Decoder: Sendable {
    /// By token id: the bytes that it adds to the text.
    let pieces: ByteStringTable
    /// By token id: whether the token is one byte of a character (`<0xE2>`). Empty where there are no such tokens.
    let isByte: [Bool]
    /// How many spaces the text loses at its start, where the model was given a space that the text did not have.
    let leadingSpaces: Int
    /// Whether the first token loses all its spaces (the reference's Metaspace decoder).
    let dropsFirstTokensSpaces: Bool
    /// What stands between tokens; empty but for files without a decoder.
    let separator: [UInt8]

    /// `spelled` is the vocabulary by token id.
    init(_ steps: [Step], separator: [UInt8] = [], spelled: ByteStringTable) {
        var pieces = ByteStringTable(minimumCapacity: spelled.count)
        let usesFallback = steps.contains { if case .byteFallback = $0 { true } else { false } }
        var isByte = [Bool](repeating: false, count: usesFallback ? spelled.count : 0)
        for id in 0..<spelled.count {
            var bytes = Array(spelled[id])
            for step in steps {
                switch step {
                case .byteLevel: bytes = ByteLevel.decode(bytes) ?? bytes
                case .byteFallback:
                    if let byte = ByteFallback.byte(bytes) {
                        bytes = [byte]
                        isByte[id] = true
                    }
                case .replace(let old, let new):
                    if !usesFallback || !isByte[id] { bytes = ByteString.replacing(bytes, old, with: new) }
                case .strip(let byte, let start, let stop):
                    let kept = bytes.prefix(start).prefix { $0 == byte }.count
                    bytes.removeFirst(kept)
                    bytes.removeLast(bytes.suffix(stop).reversed().prefix { $0 == byte }.count)
                case .stripLeadingSpaces, .dropFirstTokensSpaces: break
                }
            }
            pieces.append(bytes)
        }
        self.pieces = pieces
        self.isByte = isByte
        self.separator = separator
        dropsFirstTokensSpaces = steps.contains { if case .dropFirstTokensSpaces = $0 { true } else { false } }
        leadingSpaces = steps.reduce(0) { if case .stripLeadingSpaces(let count) = $1 { $0 + count } else { $0 } }
    }

    enum Step: Sendable {
        case byteLevel
        case byteFallback
        case replace([UInt8], with: [UInt8])
        /// Removes up to `start` and `stop` bytes `byte` from the ends of each token.
        case strip(byte: UInt8, start: Int, stop: Int)
        /// Removes spaces from the start of the text.
        case stripLeadingSpaces(Int)
        case dropFirstTokensSpaces
    }

    /// What a token adds to the text; `isFirst` if no other came before. `id` must be in the vocabulary.
    func piece(_ id: TokenID, isFirst: Bool) -> [UInt8] {
        let piece = Array(pieces[Int(id)])
        if isFirst { return dropsFirstTokensSpaces ? piece.filter { $0 != 0x20 } : piece }
        return separator + piece
    }

    func isByteToken(_ id: TokenID) -> Bool {
        !isByte.isEmpty && isByte[Int(id)]
    }
}
