/// Rewrites text before it is cut into words. Input and output are valid UTF-8.
indirect enum Normalizer: Sendable {
    case unicode(UnicodeNormalization)
    case lowercase
    case strip(left: Bool, right: Bool)
    /// Removes combining marks.
    case stripAccents
    case replace(RegexProgram, with: [UInt8])
    /// The same for a pattern that is plain text, which is how SentencePiece's spaces are made visible.
    case replaceText([UInt8], with: [UInt8])
    /// Not in front of empty text.
    case prepend([UInt8])
    /// The cleaning rules of SentencePiece's `nmt` normalizers.
    case nmt
    case precompiled(PrecompiledCharacterMap)
    case sequence([Normalizer])

    func normalize(_ text: [UInt8]) -> [UInt8] {
        switch self {
        case .unicode(let form): return form.normalize(text)
        case .lowercase: return Self.mapScalars(text) { $0.properties.lowercaseMapping.utf8.map { $0 } }
        case .strip(let left, let right): return Self.strip(text, left: left, right: right)
        case .stripAccents:
            return Self.mapScalars(text) { Self.marks.contains($0.value) ? [] : Array(String($0).utf8) }
        case .replace(let pattern, let content): return Self.replace(text, pattern, content)
        case .replaceText(let old, let new): return ByteString.replacing(text, old, with: new)
        case .prepend(let prefix): return text.isEmpty ? text : prefix + text
        case .nmt: return Self.mapScalars(text, Self.nmt)
        case .precompiled(let map): return map.normalize(text)
        case .sequence(let stages): return stages.reduce(text) { $1.normalize($0) }
        }
    }

    private static let marks = ScalarBitmap(UnicodeProperties.marks)
    private static let spaces = ScalarBitmap(UnicodeProperties.whitespace)

    private static func mapScalars(_ text: [UInt8], _ map: (Unicode.Scalar) -> [UInt8]) -> [UInt8] {
        // ASCII is mapped once, not once a character.
        let ascii = (0..<128).map { map(Unicode.Scalar(UInt8($0))) }
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        text.withUnsafeBufferPointer { text in
            var position = 0
            while position < text.count {
                let (value, length) = UTF8Scalars.decode(text, at: position)
                position += length
                if value < 0x80 {
                    result.append(contentsOf: ascii[Int(value)])
                } else if let scalar = Unicode.Scalar(value) {
                    result.append(contentsOf: map(scalar))
                }
            }
        }
        return result
    }

    private static func strip(_ text: [UInt8], left: Bool, right: Bool) -> [UInt8] {
        let scalars = String(decoding: text, as: UTF8.self).unicodeScalars[...]
        var rest = scalars
        if left { rest = rest.drop { spaces.contains($0.value) } }
        while right, let last = rest.last, spaces.contains(last.value) { rest.removeLast() }
        return Array(String(rest).utf8)
    }

    private static func replace(_ text: [UInt8], _ pattern: RegexProgram, _ content: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        text.withUnsafeBufferPointer { bytes in
            var matcher = RegexMatcher(pattern, text: bytes, regions: 1)
            var end = 0
            matcher.forEachMatch(in: 0..<bytes.count) { matchStart, matchEnd in
                result.append(contentsOf: bytes[end..<matchStart])
                result.append(contentsOf: content)
                end = matchEnd
            }
            result.append(contentsOf: bytes[end...])
        }
        return result
    }

    private static func nmt(_ scalar: Unicode.Scalar) -> [UInt8] {
        switch scalar.value {
        case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: []
        case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD: [0x20]
        default: Array(String(scalar).utf8)
        }
    }
}
