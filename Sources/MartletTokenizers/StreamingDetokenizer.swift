/// Turns tokens into text as they arrive, whole characters only.
///
/// Work and memory for a token do not depend on how many came before. Over valid UTF-8 the parts join to what
/// `Tokenizer.decode` gives.
package struct StreamingDetokenizer: Sendable {
    private let tokenizer: Tokenizer
    private let skipSpecialTokens: Bool
    /// The start of a character that is not complete yet: at most three bytes.
    private var pending: [UInt8] = []
    private var leadingSpaces: Int
    private var isFirst: Bool

    /// - Parameter continuesText: there was text before, so that the first token is decoded as one in the middle.
    package init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool = true, continuesText: Bool = false) {
        self.tokenizer = tokenizer
        self.skipSpecialTokens = skipSpecialTokens
        leadingSpaces = continuesText ? 0 : tokenizer.decoder.leadingSpaces
        isFirst = !continuesText
    }

    /// The text that is certain now that `token` has come; empty while a character is incomplete.
    package mutating func append(_ token: TokenID) -> String {
        guard tokenizer.spelled.contains(token), !(skipSpecialTokens && tokenizer.isSpecial(token)) else { return "" }
        var piece = tokenizer.decoder.piece(token, isFirst: isFirst)[...]
        isFirst = false
        while leadingSpaces > 0, let first = piece.first {
            if first == 0x20 {
                piece.removeFirst()
                leadingSpaces -= 1
            } else {
                leadingSpaces = 0
            }
        }
        pending += piece
        let complete = pending.count - Self.incompleteSuffix(pending)
        let text = String(decoding: pending[..<complete], as: UTF8.self)
        pending.removeFirst(complete)
        return text
    }

    /// What is left when no more tokens come: an incomplete character as U+FFFD.
    package mutating func finish() -> String {
        defer { pending = [] }
        return String(decoding: pending, as: UTF8.self)
    }

    /// How many bytes at the end could still become a character with more bytes.
    static func incompleteSuffix(_ bytes: [UInt8]) -> Int {
        for count in 1...3 where count <= bytes.count {
            let lead = bytes[bytes.count - count]
            if lead & 0xC0 == 0x80 { continue }
            let length = lead < 0xC2 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 1
            guard count < length else { return 0 }
            // The second byte decides whether this is the start of a character at all (no surrogates, none too long).
            if count >= 2 {
                let second = bytes[bytes.count - count + 1]
                let allowed: ClosedRange<UInt8> =
                    switch lead {
                    case 0xE0: 0xA0...0xBF
                    case 0xED: 0x80...0x9F
                    case 0xF0: 0x90...0xBF
                    case 0xF4: 0x80...0x8F
                    default: 0x80...0xBF
                    }
                if !allowed.contains(second) { return 0 }
            }
            return count
        }
        return 0
    }
}
