/// The tokens of words that this text had before. Direct-mapped: a newer word takes an older one's place, so the cache
/// neither grows with the text nor costs a search.
struct WordCache {
    private struct Entry {
        var hash: UInt64 = 0
        var wordStart: Int32 = 0
        var tokenStart: Int32 = 0
        var wordLength: UInt16 = 0
        var tokenCount: UInt16 = 0
    }

    /// In bytes. In shorter texts too few words return to pay for the memory.
    static let minimumTextLength = 2048

    /// Longer words hardly ever return.
    private static let maximumWordLength = 64
    private static let entryCount = 1 << 15
    /// Beyond this many bytes of words the cache starts afresh.
    private static let maximumBytes = 1 << 21

    private var entries: [Entry]
    private var words: [UInt8] = []
    private var tokens: [TokenID] = []
    private let key = ByteHash.Key()

    init(isEnabled: Bool) {
        entries = isEnabled ? [Entry](repeating: Entry(), count: Self.entryCount) : []
    }

    @inline(__always)
    mutating func append(_ word: UnsafeBufferPointer<UInt8>, to output: inout [TokenID]) -> Bool {
        if entries.isEmpty || word.count > Self.maximumWordLength { return false }
        let hash = key.hash(UnsafeRawBufferPointer(word))
        let entry = entries[Int(truncatingIfNeeded: hash) & (Self.entryCount - 1)]
        guard entry.hash == hash, Int(entry.wordLength) == word.count else { return false }
        for offset in 0..<word.count where words[Int(entry.wordStart) + offset] != word[offset] { return false }
        let start = Int(entry.tokenStart)
        for index in start..<(start + Int(entry.tokenCount)) { output.append(tokens[index]) }
        return true
    }

    mutating func store(_ word: UnsafeBufferPointer<UInt8>, _ result: ArraySlice<TokenID>) {
        if entries.isEmpty || word.count > Self.maximumWordLength { return }
        if words.count > Self.maximumBytes { self = WordCache(isEnabled: true) }
        let hash = key.hash(UnsafeRawBufferPointer(word))
        entries[Int(truncatingIfNeeded: hash) & (Self.entryCount - 1)] = Entry(
            hash: hash, wordStart: Int32(words.count), tokenStart: Int32(tokens.count),
            wordLength: UInt16(word.count), tokenCount: UInt16(result.count))
        words.append(contentsOf: word)
        tokens.append(contentsOf: result)
    }
}
