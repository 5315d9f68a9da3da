import MartletTokenizers

extension Tokenizer {
    /// The token sequences by which words can come into a text: as they stand behind something, and behind a space.
    func sequences(spelling words: [String]) -> [[Int32]] {
        words.flatMap { word in
            let bare = String(word.trimmingPrefix(while: \.isWhitespace))
            let plain = encode(bare)
            let spaced = encode(" " + bare)
            // A space that is a token of its own adds nothing.
            return spaced.suffix(plain.count) == plain[...] ? [plain] : [plain, spaced]
        }.filter { !$0.isEmpty }
    }
}
