internal import Foundation

/// Unicode normalization forms (UAX #15), linear in the text up to the sorting of marks.
///
/// Foundation's own conversion takes quadratic time on long runs of combining marks, which a user may send, and composes
/// some pairs wrongly (U+1015B U+0307 becomes U+1E65); so it is only asked about single scalars, and the algorithm is here.
enum UnicodeNormalization: Sendable {
    case nfc, nfd, nfkc, nfkd

    func normalize(_ bytes: [UInt8]) -> [UInt8] {
        if bytes.allSatisfy({ $0 < 0x80 }) { return bytes }
        let text = String(decoding: bytes, as: UTF8.self)
        if self == .nfc {
            var span = text.utf8Span
            if span.checkForNFC(quickCheck: true) { return bytes }
        }
        var converter = Converter(isCompatible: self == .nfkc || self == .nfkd)
        for scalar in text.unicodeScalars { converter.decompose(scalar) }
        converter.sortMarks()
        if self == .nfc || self == .nfkc { converter.compose() }
        var result = String.UnicodeScalarView()
        result.append(contentsOf: converter.scalars.lazy.map(\.scalar))
        return Array(String(result).utf8)
    }

    private struct Element {
        var scalar: Unicode.Scalar
        /// Canonical combining class; 0 starts a new sequence.
        var combiningClass: UInt8
    }

    private struct Converter {
        let isCompatible: Bool
        var scalars: [Element] = []
        private var decompositions: [Unicode.Scalar: [Element]] = [:]

        init(isCompatible: Bool) {
            self.isCompatible = isCompatible
        }

        mutating func decompose(_ scalar: Unicode.Scalar) {
            if scalar.isASCII {
                scalars.append(Element(scalar: scalar, combiningClass: 0))
            } else if let known = decompositions[scalar] {
                scalars.append(contentsOf: known)
            } else {
                let text = String(scalar)
                let parts =
                    isCompatible
                    ? text.decomposedStringWithCompatibilityMapping : text.decomposedStringWithCanonicalMapping
                let elements = parts.unicodeScalars.map {
                    Element(scalar: $0, combiningClass: $0.properties.canonicalCombiningClass.rawValue)
                }
                decompositions[scalar] = elements
                scalars.append(contentsOf: elements)
            }
        }

        /// Canonical ordering: marks of each run by combining class, equal ones as they came.
        mutating func sortMarks() {
            var start = 0
            while start < scalars.count {
                guard scalars[start].combiningClass != 0 else {
                    start += 1
                    continue
                }
                var end = start + 1
                while end < scalars.count, scalars[end].combiningClass != 0 { end += 1 }
                let run = scalars[start..<end].enumerated().sorted {
                    ($0.element.combiningClass, $0.offset) < ($1.element.combiningClass, $1.offset)
                }
                scalars.replaceSubrange(start..<end, with: run.map(\.element))
                start = end
            }
        }

        mutating func compose() {
            var result: [Element] = []
            result.reserveCapacity(scalars.count)
            var starter: Int?
            for element in scalars {
                // A mark reaches its starter unless one of the same or a higher class, or another starter, is between.
                if let starter,
                    starter == result.count - 1 || result[result.count - 1].combiningClass < element.combiningClass,
                    let composed = composition(result[starter].scalar, element.scalar)
                {
                    result[starter].scalar = composed
                    continue
                }
                if element.combiningClass == 0 { starter = result.count }
                result.append(element)
            }
            scalars = result
        }

        private func composition(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
            if second.isASCII { return nil }
            if Hangul.jamo.contains(second.value) {
                return Hangul.composition(first.value, second.value).flatMap { Unicode.Scalar($0) }
            }
            return Composites.byPair[Composites.key(first, second)]
        }
    }
}

/// Scalars that stand for a pair of scalars and may be composed, Hangul aside.
private enum Composites {
    /// The blocks that hold them.
    private static let blocks: [ClosedRange<UInt32>] = [
        0xC0...0x30FF, 0x105C0...0x105FF, 0x11000...0x119FF, 0x16100...0x1612F, 0x16D40...0x16D6F,
    ]

    static func key(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> UInt64 {
        UInt64(first.value) << 32 | UInt64(second.value)
    }

    static let byPair: [UInt64: Unicode.Scalar] = {
        var byDecomposition: [[Unicode.Scalar]: Unicode.Scalar] = [:]
        for scalar in blocks.joined().lazy.compactMap(Unicode.Scalar.init) {
            let text = String(scalar)
            let parts = Array(text.decomposedStringWithCanonicalMapping.unicodeScalars)
            // What normalization does not leave as it is, is excluded from composition.
            guard parts.count > 1, Array(text.precomposedStringWithCanonicalMapping.unicodeScalars) == [scalar] else {
                continue
            }
            byDecomposition[parts] = scalar
        }
        // A composite of three parts is composed of the composite of the first two, and the third.
        var result: [UInt64: Unicode.Scalar] = [:]
        for (parts, scalar) in byDecomposition {
            guard let last = parts.last else { continue }
            let rest = Array(parts.dropLast())
            if let first = rest.count == 1 ? rest[0] : byDecomposition[rest] { result[key(first, last)] = scalar }
        }
        return result
    }()
}

/// Hangul syllables are composed by arithmetic (The Unicode Standard, 3.12).
private enum Hangul {
    static let jamo: ClosedRange<UInt32> = 0x1100...0x11FF
    private static let leading: UInt32 = 0x1100
    private static let vowel: UInt32 = 0x1161
    /// One before the first trailing consonant.
    private static let trailing: UInt32 = 0x11A7
    private static let syllable: UInt32 = 0xAC00
    private static let vowelCount: UInt32 = 21
    private static let trailingCount: UInt32 = 28

    static func composition(_ first: UInt32, _ second: UInt32) -> UInt32? {
        if (leading..<(leading + 19)).contains(first), (vowel..<(vowel + vowelCount)).contains(second) {
            return syllable + ((first - leading) * vowelCount + (second - vowel)) * trailingCount
        }
        if (syllable...0xD7A3).contains(first), (first - syllable) % trailingCount == 0,
            ((trailing + 1)..<(trailing + trailingCount)).contains(second)
        {
            return first + (second - trailing)
        }
        return nil
    }
}
