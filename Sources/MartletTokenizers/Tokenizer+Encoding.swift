extension Tokenizer {
    /// The tokens of `text`.
    ///
    /// - Parameters:
    ///   - addSpecialTokens: Puts the model's special tokens around the result, usually the beginning-of-sequence token.
    ///   - parseSpecial: Lets the text spell special tokens. Only for text that we made, such as a rendered chat template:
    ///     in text from users `<|im_start|>` is ordinary text.
    package func encode(_ text: String, addSpecialTokens: Bool = false, parseSpecial: Bool = false) -> [TokenID] {
        var text = text
        let bytes = text.withUTF8 { Array($0) }
        return encode(validated: bytes, addSpecialTokens: addSpecialTokens, parseSpecial: parseSpecial)
    }

    /// The tokens of a text in UTF-8; what is not UTF-8 counts as U+FFFD.
    package func encode(bytes: [UInt8], addSpecialTokens: Bool = false, parseSpecial: Bool = false) -> [TokenID] {
        encode(
            validated: UTF8Scalars.repaired(bytes), addSpecialTokens: addSpecialTokens, parseSpecial: parseSpecial)
    }

    private func encode(validated bytes: [UInt8], addSpecialTokens: Bool, parseSpecial: Bool) -> [TokenID] {
        var encoder = SegmentEncoder(self, textLength: bytes.count)
        if addSpecialTokens { encoder.output += postProcessor.prefix }
        let segments = bytes.withUnsafeBufferPointer {
            addedTokens.split($0, normalized: false, parseSpecial ? .all : .ordinary)
        }
        for segment in segments {
            switch segment {
            case .token(let id, _): encoder.output.append(id)
            case .text(let range):
                let isFirst = range.lowerBound == 0
                var part = range.count == bytes.count ? bytes : Array(bytes[range])
                let isGuarded = parseSpecial && SpecialTokenGuard.remove(from: &part)
                encodeText(
                    normalizer?.normalize(part) ?? part, isFirst: isFirst,
                    isGuarded ? .words : parseSpecial ? .all : .ordinary, &encoder)
            }
        }
        if addSpecialTokens { encoder.output += postProcessor.suffix }
        return encoder.output
    }

    private func encodeText(
        _ text: [UInt8], isFirst: Bool, _ spelling: AddedTokens.Spelling, _ encoder: inout SegmentEncoder
    ) {
        guard addedTokens.hasNormalized else { return encoder.encode(PreTokenizedText(text, isFirst: isFirst)) }
        let segments = text.withUnsafeBufferPointer {
            addedTokens.split($0, normalized: true, spelling)
        }
        for segment in segments {
            switch segment {
            case .token(let id, _): encoder.output.append(id)
            case .text(let range):
                let part = range.count == text.count ? text : Array(text[range])
                encoder.encode(PreTokenizedText(part, isFirst: isFirst && range.lowerBound == 0))
            }
        }
    }
}

/// Pre-tokenizer and model over the segments of one text.
private struct SegmentEncoder {
    private let preTokenizer: PreTokenizer?
    private let model: Tokenizer.Model
    private var bpeScratch: BPEScratch
    private var unigramScratch: UnigramScratch
    var output: [TokenID] = []

    init(_ tokenizer: Tokenizer, textLength: Int) {
        preTokenizer = tokenizer.preTokenizer
        model = tokenizer.model
        // The scratch that the model does not use stays small.
        let isBPE = if case .bpe = model { true } else { false }
        bpeScratch = BPEScratch(textLength: isBPE ? textLength : 0)
        unigramScratch = UnigramScratch(textLength: isBPE ? 0 : textLength)
        output.reserveCapacity(textLength / 4 + 8)
    }

    mutating func encode(_ segment: consuming PreTokenizedText) {
        preTokenizer?.words(of: &segment)
        segment.bytes.withUnsafeBufferPointer { bytes in
            for word in segment.words { encode(word: UnsafeBufferPointer(rebasing: bytes[word])) }
        }
    }

    /// Positions within a word are 32-bit numbers; a longer word is cut.
    private static let maximumWordLength = 1 << 28

    private mutating func encode(word: UnsafeBufferPointer<UInt8>) {
        var rest = word[...]
        while rest.count > Self.maximumWordLength {
            var end = rest.startIndex + Self.maximumWordLength
            while end > rest.startIndex, rest[end] & 0xC0 == 0x80 { end -= 1 }
            encode(block: UnsafeBufferPointer(rebasing: rest[..<end]))
            rest = rest[end...]
        }
        encode(block: UnsafeBufferPointer(rebasing: rest))
    }

    @inline(__always)
    private mutating func encode(block: UnsafeBufferPointer<UInt8>) {
        switch model {
        case .bpe(let bpe): bpe.encode(block, &bpeScratch, &output)
        case .unigram(let unigram): unigram.encode(block, &unigramScratch, &output)
        }
    }
}
