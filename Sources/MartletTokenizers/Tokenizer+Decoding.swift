extension Tokenizer {
    /// The text of `ids`. Ids outside of the vocabulary are skipped; bytes that are not UTF-8 become U+FFFD.
    package func decode(_ ids: some Sequence<TokenID>, skipSpecialTokens: Bool = true) -> String {
        var bytes: [UInt8] = []
        /// Byte tokens in a row. As in the reference they are characters only if all of them together are valid UTF-8.
        var run: [UInt8] = []
        func flush() {
            if run.isEmpty { return }
            if String(validating: run, as: UTF8.self) != nil {
                bytes += run
            } else {
                for _ in run { bytes += [0xEF, 0xBF, 0xBD] }
            }
            run = []
        }
        var isFirst = true
        for id in ids where spelled.contains(id) && !(skipSpecialTokens && isSpecial(id)) {
            if decoder.isByteToken(id) {
                run += decoder.piece(id, isFirst: isFirst)
            } else {
                flush()
                bytes += decoder.piece(id, isFirst: isFirst)
            }
            isFirst = false
        }
        flush()
        let spaces = bytes.prefix(decoder.leadingSpaces).prefix { $0 == 0x20 }.count
        return String(decoding: bytes[spaces...], as: UTF8.self)
    }

    /// How many spaces a text loses at its start, because the vocabulary's words begin with one.
    package var leadingSpaces: Int { decoder.dropsFirstTokensSpaces ? 1 : decoder.leadingSpaces }

    /// The bytes that a token adds to the text: half a character, perhaps. Empty for an id outside of the vocabulary.
    package func tokenBytes(_ id: TokenID) -> [UInt8] {
        spelled.contains(id) ? Array(decoder.pieces[Int(id)]) : []
    }
}
