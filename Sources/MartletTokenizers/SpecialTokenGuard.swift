/// Keeps text from users from turning into special tokens on its way through a chat template.
///
/// A rendered prompt is tokenized with special tokens, because the template spells them; but a message that spells
/// `<|im_end|>` must stay a message. So the spelling is broken before rendering, by a noncharacter that no text may hold,
/// and the noncharacter is taken out when what stands around it has been recognized as ordinary text.
enum SpecialTokenGuard {
    /// U+FDD0: Unicode sets it aside for use inside a program.
    private static let mark: [UInt8] = [0xEF, 0xB7, 0x90]

    /// `text` with the spelling of every control token broken, also of one that it only begins: the template may put the rest
    /// behind it, out of the next part of the same message. Other added tokens are words, which templates look for: `</think>`.
    static func guarding(_ text: String, _ tokenizer: Tokenizer) -> String {
        let tokens = tokenizer.addedTokens
        var bytes = Array(text.utf8)
        // A mark that came with the text would be taken out later: what was not there can't be missed.
        _ = remove(from: &bytes)
        let segments = bytes.withUnsafeBufferPointer { tokens.split($0, normalized: false, .all) }
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        for segment in segments {
            switch segment {
            case .token(let id, let range) where tokens.isControl(id):
                for scalar in String(decoding: bytes[range], as: UTF8.self).unicodeScalars {
                    result += UTF8.encode(scalar).map(Array.init) ?? []
                    result += mark
                }
            case .token(_, let range), .text(let range): result += bytes[range]
            }
        }
        if let end = tokens.endOfUnfinishedSpecial(result) { result.insert(contentsOf: mark, at: end) }
        // Normalized text can't be broken from here: it is not looked at for special tokens where there is any mark.
        if tokens.hasNormalized, result.count == bytes.count,
            tokens.spellsSpecial(normalized: tokenizer.normalizer?.normalize(bytes) ?? bytes)
        {
            result += mark
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// Takes the marks out.
    ///
    /// - Returns: whether there were any.
    static func remove(from bytes: inout [UInt8]) -> Bool {
        guard bytes.contains(mark[0]) else { return false }
        var kept: [UInt8] = []
        kept.reserveCapacity(bytes.count)
        var position = 0
        while position < bytes.count {
            if bytes[position] == mark[0], bytes[position...].starts(with: mark) {
                position += mark.count
            } else {
                kept.append(bytes[position])
                position += 1
            }
        }
        defer { bytes = kept }
        return kept.count < bytes.count
    }
}
