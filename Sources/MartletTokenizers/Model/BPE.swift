/// Byte-pair encoding (Sennrich et al. 2016): a word starts as its smallest symbols, and the pair of neighbours whose merge
/// was learned first is joined, leftmost first, until no pair is left.
struct BPE: Sendable {
    /// What a word is cut into before merging.
    enum Alphabet: Sendable {
        /// Bytes (GPT-2). Words are the text's own bytes.
        case bytes
        /// Unicode scalars (SentencePiece).
        case scalars
    }

    let alphabet: Alphabet
    /// By byte, the token of that one byte or -1; for the scalar alphabet, of that one ASCII character.
    private let single: [TokenID]
    let merges: PairTable
    /// Token of the first symbol's bytes, and whole words where `ignoresMerges` is set.
    private let words: ByteStringTable
    /// By byte, the token `<0x..>` or -1, used for symbols that the vocabulary lacks; empty without byte fallback.
    private let fallback: [TokenID]
    private let unknown: TokenID?
    private let fusesUnknown: Bool
    /// A word that is itself a token becomes that token, whether or not merges lead to it.
    private let ignoresMerges: Bool
    /// Scalar alphabet: where no merge can ever cross, so that a long text falls apart into short words.
    private let seams: SeamTable?

    struct Options: Sendable {
        var unknown: TokenID?
        var fusesUnknown = false
        var usesByteFallback = false
        var ignoresMerges = false
    }

    /// `words` holds the vocabulary by token id, as bytes of the alphabet, indexed for lookup.
    init(alphabet: Alphabet, words: ByteStringTable, merges: PairTable, options: Options) {
        self.alphabet = alphabet
        self.words = words
        self.merges = merges
        single = (0..<256).map { byte in words.find([UInt8(byte)]).map { TokenID($0) } ?? -1 }
        fallback = options.usesByteFallback ? (0..<256).map { ByteFallback.token(UInt8($0), in: words) ?? -1 } : []
        unknown = options.unknown
        fusesUnknown = options.fusesUnknown
        ignoresMerges = options.ignoresMerges
        // Cutting at seams is exact only if what merges are the text's own characters, and nothing fuses otherwise.
        var standIns = Set(fallback)
        if let unknown { standIns.insert(unknown) }
        let isCuttable =
            alphabet == .scalars && !ignoresMerges && !(fusesUnknown && (fallback.isEmpty || fallback.contains(-1)))
            && !merges.contains { standIns.contains($0) || standIns.contains($1) }
        seams = isCuttable ? SeamTable(words) : nil
    }

    /// Appends the tokens of one word to `output`. A symbol that the vocabulary lacks becomes its byte tokens, else the
    /// unknown token, else nothing, as in the reference.
    func encode(_ word: UnsafeBufferPointer<UInt8>, _ scratch: inout BPEScratch, _ output: inout [TokenID]) {
        guard let seams else { return encodeWhole(word, &scratch, &output) }
        var start = 0
        seams.forEachSeam(in: word) { seam in
            encodeWhole(UnsafeBufferPointer(rebasing: word[start..<seam]), &scratch, &output)
            start = seam
        }
        encodeWhole(UnsafeBufferPointer(rebasing: word[start...]), &scratch, &output)
    }

    private func encodeWhole(
        _ word: UnsafeBufferPointer<UInt8>, _ scratch: inout BPEScratch, _ output: inout [TokenID]
    ) {
        if word.isEmpty || scratch.cache.append(word, to: &output) { return }
        let start = output.count
        if ignoresMerges, let token = words.find(UnsafeRawBufferPointer(word)) {
            output.append(TokenID(token))
        } else {
            scratch.symbols.removeAll(keepingCapacity: true)
            appendSymbols(of: word, to: &scratch.symbols)
            merge(&scratch)
            output.append(contentsOf: scratch.symbols)
        }
        scratch.cache.store(word, output[start...])
    }

    private func appendSymbols(of word: UnsafeBufferPointer<UInt8>, to symbols: inout [TokenID]) {
        /// An unknown token that waits for more unknown symbols to join it.
        var pending: TokenID?
        var index = 0
        while index < word.count {
            let length = alphabet == .bytes ? 1 : UTF8Scalars.length(word[index])
            let symbol = UnsafeBufferPointer(rebasing: word[index..<(index + length)])
            index += length
            let token = length == 1 ? single[Int(symbol[0])] : TokenID(words.find(UnsafeRawBufferPointer(symbol)) ?? -1)
            if token >= 0 {
                if let unknown = pending { symbols.append(unknown) }
                pending = nil
                symbols.append(token)
            } else if !fallback.isEmpty, symbol.allSatisfy({ fallback[Int($0)] >= 0 }) {
                for byte in symbol { symbols.append(fallback[Int(byte)]) }
            } else if let unknown {
                if let unknown = pending, !fusesUnknown { symbols.append(unknown) }
                pending = unknown
            }
        }
        if let unknown = pending { symbols.append(unknown) }
    }
}

/// What one call of `encode` works with, kept from word to word.
struct BPEScratch {
    var symbols: [TokenID] = []
    var ranks: [UInt32] = []
    var queue = MergeQueue()
    var cache: WordCache

    /// `textLength` in bytes: short texts are not worth a cache.
    init(textLength: Int) {
        cache = WordCache(isEnabled: textLength > WordCache.minimumTextLength)
    }
}

/// Byte tokens of SentencePiece vocabularies: `<0x00>` … `<0xFF>`.
enum ByteFallback {
    static func spelling(_ byte: UInt8) -> [UInt8] {
        let digits = Array("0123456789ABCDEF".utf8)
        return Array("<0x".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)], UInt8(ascii: ">")]
    }

    static func token(_ byte: UInt8, in words: ByteStringTable) -> TokenID? {
        words.find(spelling(byte)).map { TokenID($0) }
    }

    /// The byte that a token stands for.
    static func byte(_ token: some Collection<UInt8>) -> UInt8? {
        guard token.count == 6, token.starts(with: Array("<0x".utf8)) else { return nil }
        let text = String(decoding: token.dropFirst(3).prefix(2), as: UTF8.self)
        guard let byte = UInt8(text, radix: 16), text.utf8.first != UInt8(ascii: "+"),
            token.dropFirst(5).first == UInt8(ascii: ">")
        else { return nil }
        return byte
    }
}
