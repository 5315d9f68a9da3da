/// Scalar sets of Unicode properties, derived from the standard library's tables.
///
/// Asking the standard library costs about 0.1 µs a scalar, far too much for every character of a text; it is asked
/// once a process, and only for blocks whose scalars are not all alike.
package enum UnicodeProperties {
    /// Blocks of ideographs and syllables, category Lo throughout; more than half of the assigned code space.
    private static let letterBlocks: [ClosedRange<UInt32>] = [
        0x3400...0x4DBF, 0x4E00...0x9FFF, 0xAC00...0xD7A3, 0x20000...0x2A6DF, 0x30000...0x3134A,
    ]
    /// Where scalars are assigned; all others are unassigned or private use, which no pattern names.
    private static let assigned: [Range<UInt32>] = [0..<0x323B0, 0xE0000..<0xE01F0]

    /// Ranges of the code space by general category, in `Unicode.GeneralCategory` order of appearance.
    private static let categoryRanges: [Unicode.GeneralCategory: [ClosedRange<UInt32>]] = {
        var result: [Unicode.GeneralCategory: [ClosedRange<UInt32>]] = [:]
        func add(_ category: Unicode.GeneralCategory, _ range: ClosedRange<UInt32>) {
            if let previous = result[category]?.last, previous.upperBound + 1 == range.lowerBound {
                result[category]?.removeLast()
                result[category]?.append(previous.lowerBound...range.upperBound)
            } else {
                result[category, default: []].append(range)
            }
        }
        for block in assigned {
            var value = block.lowerBound
            while value < block.upperBound {
                if let letters = letterBlocks.first(where: { $0.lowerBound == value }) {
                    add(.otherLetter, letters)
                    value = letters.upperBound + 1
                    continue
                }
                if let scalar = Unicode.Scalar(value) {
                    add(scalar.properties.generalCategory, value...value)
                }
                value += 1
            }
        }
        return result
    }()

    static func set(_ categories: [Unicode.GeneralCategory]) -> ScalarSet {
        ScalarSet(categories.flatMap { categoryRanges[$0] ?? [] })
    }

    /// `\p{name}` for a general category or a group of them; nil for a name that is neither.
    package static func set(named name: String) -> ScalarSet? {
        if let categories = categories[name] { return set(categories) }
        switch name {
        case "L", "Letter": return letters
        case "M", "Mark": return marks
        case "N", "Number": return numbers
        case "P", "Punctuation": return punctuation
        case "S", "Symbol": return set([.mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol])
        case "Z", "Separator": return set([.spaceSeparator, .lineSeparator, .paragraphSeparator])
        case "Han": return han
        default: return nil
        }
    }

    private static let categories: [String: [Unicode.GeneralCategory]] = [
        "Lu": [.uppercaseLetter], "Ll": [.lowercaseLetter], "Lt": [.titlecaseLetter], "Lm": [.modifierLetter],
        "Lo": [.otherLetter], "Mn": [.nonspacingMark], "Mc": [.spacingMark], "Me": [.enclosingMark],
        "Nd": [.decimalNumber], "Nl": [.letterNumber], "No": [.otherNumber], "Pc": [.connectorPunctuation],
        "Pd": [.dashPunctuation], "Ps": [.openPunctuation], "Pe": [.closePunctuation], "Pi": [.initialPunctuation],
        "Pf": [.finalPunctuation], "Po": [.otherPunctuation], "Sm": [.mathSymbol], "Sc": [.currencySymbol],
        "Sk": [.modifierSymbol], "So": [.otherSymbol], "Zs": [.spaceSeparator], "Zl": [.lineSeparator],
        "Zp": [.paragraphSeparator], "Cc": [.control], "Cf": [.format],
    ]

    static let letters = set([.uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter])
    static let marks = set([.nonspacingMark, .spacingMark, .enclosingMark])
    static let numbers = set([.decimalNumber, .letterNumber, .otherNumber])
    static let punctuation = set([
        .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
        .finalPunctuation, .otherPunctuation,
    ])
    static let decimalDigits = set([.decimalNumber])

    /// `White_Space`: the separators, tab to carriage return, and NEL. This is `\s`.
    package static let whitespace = set([.spaceSeparator, .lineSeparator, .paragraphSeparator])
        .union(ScalarSet([0x09...0x0D, 0x85...0x85]))

    /// `\w` as UTS #18 (and Rust's regex crate) defines it, which `Whitespace` and `single_word` use.
    static let unicodeWord = wordInBrackets.union(ScalarSet([0x200C...0x200D]))

    /// `\w` inside brackets as Oniguruma defines it, which `Split` patterns are written for: without the joiners.
    static let wordInBrackets = alphabetic.union(marks).union(decimalDigits).union(set([.connectorPunctuation]))

    /// `\w` and `\b` outside of brackets: Oniguruma then takes Latin-1 from another table, where superscripts and fractions
    /// belong to words.
    static let word = wordInBrackets.union(ScalarSet([0xB2...0xB3, 0xB9...0xB9, 0xBC...0xBE]))

    private static let alphabetic: ScalarSet = {
        var ranges: [ClosedRange<UInt32>] = letterBlocks
        for block in assigned {
            var value = block.lowerBound
            while value < block.upperBound {
                if let letters = letterBlocks.first(where: { $0.lowerBound == value }) {
                    value = letters.upperBound + 1
                    continue
                }
                if let scalar = Unicode.Scalar(value), scalar.properties.isAlphabetic { ranges.append(value...value) }
                value += 1
            }
        }
        return ScalarSet(ranges)
    }()

    /// Script=Han, from the Unicode Character Database (Scripts.txt).
    static let han = ScalarSet([
        0x2E80...0x2E99, 0x2E9B...0x2EF3, 0x2F00...0x2FD5, 0x3005...0x3005, 0x3007...0x3007, 0x3021...0x3029,
        0x3038...0x303B, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFA6D, 0xFA70...0xFAD9, 0x16FE2...0x16FE3,
        0x16FF0...0x16FF1, 0x20000...0x2A6DF, 0x2A700...0x2B739, 0x2B740...0x2B81D, 0x2B820...0x2CEA1,
        0x2CEB0...0x2EBE0, 0x2EBF0...0x2EE5D, 0x2F800...0x2FA1D, 0x30000...0x3134A, 0x31350...0x323AF,
    ])

    /// All scalars that match `scalar` when case is ignored (simple folding).
    static func caseVariants(of scalar: Unicode.Scalar) -> ScalarSet {
        var variants: Set<UInt32> = [scalar.value]
        let properties = scalar.properties
        for mapping in [properties.lowercaseMapping, properties.uppercaseMapping, properties.titlecaseMapping] {
            let scalars = mapping.unicodeScalars
            if scalars.count == 1, let first = scalars.first { variants.insert(first.value) }
        }
        // Two scalars fold to ASCII letters without being their upper case.
        if variants.contains(0x73) { variants.insert(0x17F) }  // s, LATIN SMALL LETTER LONG S
        if variants.contains(0x6B) { variants.insert(0x212A) }  // k, KELVIN SIGN
        return ScalarSet(variants.map { $0...$0 })
    }
}
