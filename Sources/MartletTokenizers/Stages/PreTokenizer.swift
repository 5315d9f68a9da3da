/// The text between two added tokens, and the words into which it has been cut so far.
struct PreTokenizedText {
    /// Valid UTF-8.
    var bytes: [UInt8]
    /// Non-empty, in order. What lies between words has been removed.
    var words: [Range<Int>]
    /// Whether this is where the whole text begins.
    let isFirst: Bool
    /// Whether `bytes` are spelled in the byte-level alphabet at the moment.
    var isByteLevel = false

    init(_ bytes: [UInt8], isFirst: Bool) {
        self.bytes = bytes
        self.isFirst = isFirst
        words = bytes.isEmpty ? [] : [0..<bytes.count]
    }
}

/// Cuts text into words; no token crosses from one word to another.
indirect enum PreTokenizer: Sendable {
    /// What becomes of a match (`SplitDelimiterBehavior` of the reference).
    enum Behavior: Sendable { case removed, isolated, mergedWithPrevious, mergedWithNext, contiguous }

    enum Prepend: Sendable { case always, first, never }

    case split(RegexProgram, Behavior, inverted: Bool)
    /// The text's bytes become the symbols of the model, after GPT-2's pattern where there is one.
    case byteLevel(addsPrefixSpace: Bool, pattern: RegexProgram?)
    /// SentencePiece's visible space: `replacement` for each space, and in front of the text.
    case metaspace(replacement: [UInt8], prepend: Prepend, splits: Bool)
    case sequence([PreTokenizer])

    var usesByteLevel: Bool {
        switch self {
        case .byteLevel: true
        case .sequence(let stages): stages.contains(where: \.usesByteLevel)
        case .split, .metaspace: false
        }
    }

    func apply(to text: inout PreTokenizedText) {
        switch self {
        case .split(let pattern, let behavior, let inverted):
            Self.split(&text, pattern, behavior, inverted: inverted)
        case .byteLevel(let addsPrefixSpace, let pattern):
            if addsPrefixSpace {
                text.replaceWords { word in word.first == 0x20 ? Array(word) : [0x20] + word }
            }
            if let pattern { Self.split(&text, pattern, .isolated, inverted: false) }
        case .metaspace(let replacement, let prepend, let splits):
            let isFirst = text.isFirst
            var isFirstWord = true
            text.replaceWords { word in
                defer { isFirstWord = false }
                let prepends = prepend == .always || prepend == .first && isFirst && isFirstWord
                return Self.metaspace(word, replacement, prepends: prepends)
            }
            if splits { text.splitBefore(replacement) }
        case .sequence(let stages):
            for (index, stage) in stages.enumerated() {
                stage.apply(to: &text)
                // What follows a byte-level stage sees its alphabet (Falcon counts "¼" as a digit, whatever byte it is).
                if stage.usesByteLevel, index + 1 < stages.count, !text.isByteLevel { text.spellBytes() }
            }
        }
    }

    /// Cuts `text` into words, as bytes.
    func words(of text: inout PreTokenizedText) {
        apply(to: &text)
        if text.isByteLevel { text.unspellBytes() }
    }

    private static func metaspace(_ word: ArraySlice<UInt8>, _ replacement: [UInt8], prepends: Bool) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(word.count + replacement.count)
        for byte in word {
            if byte == 0x20 { result.append(contentsOf: replacement) } else { result.append(byte) }
        }
        return prepends && !result.starts(with: replacement) ? replacement + result : result
    }

    // MARK: Split

    private static func split(
        _ text: inout PreTokenizedText, _ pattern: RegexProgram, _ behavior: Behavior, inverted: Bool
    ) {
        var words: [Range<Int>] = []
        words.reserveCapacity(text.words.count + text.bytes.count / 5)
        text.bytes.withUnsafeBufferPointer { bytes in
            var matcher = RegexMatcher(pattern, text: bytes, regions: text.words.count)
            for word in text.words {
                var cutter = Cutter(behavior, inverted: inverted, firstWord: words.count)
                var end = word.lowerBound
                matcher.forEachMatch(in: word) { matchStart, matchEnd in
                    if matchStart > end { cutter.add(end..<matchStart, isMatch: false, &words) }
                    if matchEnd > matchStart { cutter.add(matchStart..<matchEnd, isMatch: true, &words) }
                    end = matchEnd
                }
                if end < word.upperBound { cutter.add(end..<word.upperBound, isMatch: false, &words) }
                cutter.finish(&words)
            }
        }
        text.words = words
    }

    /// Collects matches, and what lies between them, into words.
    private struct Cutter {
        let behavior: Behavior
        let inverted: Bool
        /// The first word of the region; merging must not reach further back.
        let firstWord: Int
        private var previousWasDelimiter = false
        /// mergedWithNext: a delimiter that waits for the next piece.
        private var pending: Range<Int>?

        init(_ behavior: Behavior, inverted: Bool, firstWord: Int) {
            self.behavior = behavior
            self.inverted = inverted
            self.firstWord = firstWord
        }

        @inline(__always)
        mutating func add(_ range: Range<Int>, isMatch: Bool, _ words: inout [Range<Int>]) {
            let isDelimiter = isMatch != inverted
            switch behavior {
            case .isolated: words.append(range)
            case .removed: if !isDelimiter { words.append(range) }
            case .contiguous:
                if words.count > firstWord, isDelimiter == previousWasDelimiter {
                    extendLast(to: range, &words)
                } else {
                    words.append(range)
                }
            case .mergedWithPrevious:
                if isDelimiter, !previousWasDelimiter, words.count > firstWord {
                    extendLast(to: range, &words)
                } else {
                    words.append(range)
                }
            case .mergedWithNext:
                if isDelimiter {
                    finish(&words)
                    pending = range
                } else {
                    words.append((pending?.lowerBound ?? range.lowerBound)..<range.upperBound)
                    pending = nil
                }
            }
            previousWasDelimiter = isDelimiter
        }

        private func extendLast(to range: Range<Int>, _ words: inout [Range<Int>]) {
            words[words.count - 1] = words[words.count - 1].lowerBound..<range.upperBound
        }

        mutating func finish(_ words: inout [Range<Int>]) {
            if let pending { words.append(pending) }
            pending = nil
        }
    }
}

extension PreTokenizedText {
    fileprivate mutating func replaceWords(_ transform: (ArraySlice<UInt8>) -> [UInt8]) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(self.bytes.count + words.count)
        for index in words.indices {
            let start = bytes.count
            bytes.append(contentsOf: transform(self.bytes[words[index]]))
            words[index] = start..<bytes.count
        }
        self.bytes = bytes
    }

    /// A word starts at each occurrence of `mark`.
    fileprivate mutating func splitBefore(_ mark: [UInt8]) {
        guard let first = mark.first else { return }
        var result: [Range<Int>] = []
        for word in words {
            var start = word.lowerBound
            var position = start + 1
            while position < word.upperBound {
                if bytes[position] == first, bytes[position..<word.upperBound].starts(with: mark) {
                    result.append(start..<position)
                    start = position
                }
                position += 1
            }
            result.append(start..<word.upperBound)
        }
        words = result
    }

    fileprivate mutating func spellBytes() {
        replaceWords { ByteLevel.encode($0) }
        isByteLevel = true
    }

    fileprivate mutating func unspellBytes() {
        replaceWords { ByteLevel.decode($0) ?? Array($0) }
        isByteLevel = false
    }
}
