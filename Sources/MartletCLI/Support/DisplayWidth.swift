// How many columns text takes on a terminal. Unicode's East Asian Width (UAX #11) and emoji presentation (UTS #51).

extension Unicode.Scalar {
    /// Blocks whose characters take two columns. Unassigned code points inside them count as wide too, as UAX #11 says.
    private static let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x4DBF, 0x4E00...0xA4CF, 0xA960...0xA97C, 0xAC00...0xD7A3,
        0xF900...0xFAFF, 0xFE10...0xFE19, 0xFE30...0xFE6F, 0xFF01...0xFF60, 0xFFE0...0xFFE6, 0x16FE0...0x18DF2,
        0x1AFF0...0x1B2FB, 0x20000...0x3FFFD,
    ]

    /// Columns of the scalar alone: 0, 1 or 2.
    var displayWidth: Int {
        if value >= 0x20 && value < 0x7F { return 1 }
        switch properties.generalCategory {
        case .control, .format, .nonspacingMark, .enclosingMark, .lineSeparator, .paragraphSeparator: return 0
        default: break
        }
        if properties.isEmojiPresentation || Self.wide.contains(where: { $0.contains(value) }) { return 2 }
        return 1
    }
}

extension Character {
    /// Columns of the character: those of its widest scalar, so that marks and joined emoji add nothing; two where a
    /// variation selector asks for an emoji.
    var displayWidth: Int {
        var width = 0
        for scalar in unicodeScalars {
            width = scalar.value == 0xFE0F ? 2 : max(width, scalar.displayWidth)
        }
        return width
    }
}

extension StringProtocol {
    var displayWidth: Int { reduce(0) { $0 + $1.displayWidth } }
}
