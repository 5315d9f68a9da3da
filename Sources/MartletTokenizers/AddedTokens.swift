/// Tokens that are found in the text as they are, before the model sees it: control tokens such as `<|im_start|>`, and
/// ordinary ones that a publisher added later.
struct AddedTokens: Sendable {
    struct Token: Sendable {
        var id: TokenID
        /// UTF-8.
        var content: [UInt8]
        /// Control tokens. Without `parseSpecial` their spelling is ordinary text.
        var isSpecial = false
        /// Also takes the whitespace to its left, or right.
        var stripsLeft = false
        var stripsRight = false
        /// Only where no letter or digit touches it.
        var isSingleWord = false
        /// Looked for in the normalized text, not in the text as it came.
        var isNormalized = false

        /// Whether a conversation is made of it. Some publishers call only their own tokens of this form special, not those that
        /// begin the turns: DeepSeek's `<｜User｜>`.
        var isControl: Bool {
            let text = String(decoding: content, as: UTF8.self)
            return isSpecial || [("<|", "|>"), ("<｜", "｜>")].contains { text.hasPrefix($0) && text.hasSuffix($1) }
        }
    }

    /// The reference has tokens of some dozens of bytes. Matching costs up to this much for each byte of text.
    static let maximumLength = 1024

    enum Segment {
        /// With the white space that it takes.
        case token(TokenID, Range<Int>)
        case text(Range<Int>)
    }

    private let tokens: [Token]
    private let byID: [TokenID: Int]
    private let raw: Matchers
    private let normalized: Matchers
    /// Control tokens as they are spelled, and the length of the longest: those that don't begin with a letter.
    private let special: ByteTrie
    private let longestSpecial: Int

    /// Which tokens a text may spell.
    enum Spelling {
        /// All: what a template spells.
        case all
        /// Those that are not special: text of users.
        case ordinary
        /// Those that are not even spelled like a control token: text of users in a template.
        case words
    }

    private struct Matchers: Sendable {
        private var all = ByteTrie()
        private var ordinary = ByteTrie()
        private var words = ByteTrie()

        mutating func insert(_ content: [UInt8], _ token: Token, index: Int) {
            all.insert(content, value: Int32(index))
            if !token.isSpecial { ordinary.insert(content, value: Int32(index)) }
            if !token.isControl { words.insert(content, value: Int32(index)) }
        }

        subscript(_ spelling: Spelling) -> ByteTrie {
            switch spelling {
            case .all: all
            case .ordinary: ordinary
            case .words: words
            }
        }
    }

    init(_ tokens: [Token], normalizer: Normalizer?) throws(TokenizerError) {
        var raw = Matchers()
        var normalized = Matchers()
        var special = ByteTrie()
        for (index, token) in tokens.enumerated() {
            guard token.content.count <= Self.maximumLength else {
                throw .unsupported("the added token \(token.id) has \(token.content.count) bytes")
            }
            var content = token.content
            if token.isNormalized, let normalizer { content = normalizer.normalize(content) }
            // What begins with a letter is a word as well, which must stay one: templates compare roles.
            if token.isControl, let first = token.content.first, !Character(Unicode.Scalar(first)).isLetter {
                special.insert(token.content, value: Int32(index))
            }
            if token.isNormalized {
                normalized.insert(content, token, index: index)
            } else {
                raw.insert(content, token, index: index)
            }
        }
        self.tokens = tokens
        self.raw = raw
        self.normalized = normalized
        self.special = special
        longestSpecial = tokens.reduce(0) { $1.isControl ? max($0, $1.content.count) : $0 }
        byID = Dictionary(tokens.enumerated().map { ($1.id, $0) }, uniquingKeysWith: { $1 })
    }

    func isSpecial(_ id: TokenID) -> Bool {
        byID[id].map { tokens[$0].isSpecial } ?? false
    }

    /// Whether text of users must not spell it in a chat template.
    func isControl(_ id: TokenID) -> Bool {
        byID[id].map { tokens[$0].isControl } ?? false
    }

    var hasNormalized: Bool { !normalized[.all].isEmpty }

    /// Cuts `text` (valid UTF-8) at the added tokens in it, leftmost first and the longest at a place.
    func split(_ text: UnsafeBufferPointer<UInt8>, normalized isNormalized: Bool, _ spelling: Spelling) -> [Segment] {
        let trie = (isNormalized ? normalized : raw)[spelling]
        if trie.isEmpty { return text.isEmpty ? [] : [.text(0..<text.count)] }
        var segments: [Segment] = []
        var textStart = 0
        var position = 0
        while position < text.count {
            guard trie.canStart(with: text[position]) else {
                position += 1
                continue
            }
            var found: (length: Int, token: Token)?
            trie.forEachPrefix(of: text, at: position) { length, value in found = (length, tokens[Int(value)]) }
            guard let (length, token) = found else {
                position += 1
                continue
            }
            var start = position
            var end = position + length
            position = end
            if token.isSingleWord, touchesWord(text, start, end) { continue }
            if token.stripsLeft {
                while start > textStart, let scalar = Self.scalar(before: start, in: text), Self.isSpace(scalar.value) {
                    start -= scalar.length
                }
                start = max(start, textStart)
            }
            if token.stripsRight {
                while end < text.count {
                    let scalar = UTF8Scalars.decode(text, at: end)
                    guard Self.isSpace(scalar.value) else { break }
                    end += scalar.length
                }
            }
            if start > textStart { segments.append(.text(textStart..<start)) }
            segments.append(.token(token.id, start..<end))
            // The search goes on right after the token, even if whitespace behind it was taken: so does the reference.
            textStart = end
        }
        if textStart < text.count { segments.append(.text(textStart..<text.count)) }
        return segments
    }

    /// Whether a text, normalized, spells a control token that is looked for there.
    func spellsSpecial(normalized text: [UInt8]) -> Bool {
        guard hasNormalized else { return false }
        let segments = text.withUnsafeBufferPointer { split($0, normalized: true, .all) }
        return segments.contains { if case .token(let id, _) = $0 { isControl(id) } else { false } }
    }

    /// Where the beginning of a control token ends that a text stops in, or nil. White space behind it does not count.
    func endOfUnfinishedSpecial(_ text: [UInt8]) -> Int? {
        text.withUnsafeBufferPointer { text in
            var end = text.count
            while end > 0, let scalar = Self.scalar(before: end, in: text), Self.isSpace(scalar.value) {
                end -= scalar.length
            }
            for start in max(0, end - longestSpecial)..<end where special.canStart(with: text[start]) {
                if special.hasString(beginningWith: text, from: start, to: end) { return end }
            }
            return nil
        }
    }

    private static let spaces = ScalarBitmap(UnicodeProperties.whitespace)
    private static let words = ScalarBitmap(UnicodeProperties.unicodeWord)

    private static func isSpace(_ scalar: UInt32) -> Bool { spaces.contains(scalar) }

    private static func scalar(before end: Int, in text: UnsafeBufferPointer<UInt8>) -> (value: UInt32, length: Int)? {
        var start = end - 1
        while start > 0, text[start] & 0xC0 == 0x80 { start -= 1 }
        return start < 0 ? nil : UTF8Scalars.decode(text, at: start)
    }

    private func touchesWord(_ text: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int) -> Bool {
        if start > 0, let before = Self.scalar(before: start, in: text), Self.words.contains(before.value) {
            return true
        }
        return end < text.count && Self.words.contains(UTF8Scalars.decode(text, at: end).value)
    }
}
