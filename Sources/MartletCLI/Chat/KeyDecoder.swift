/// Turns the bytes of a terminal in raw mode into keys. Escape sequences: ECMA-48, xterm's control sequences.
struct KeyDecoder {
    private var pending: [UInt8] = []
    /// Bytes of a bracketed paste whose end has not come yet.
    private var paste: [UInt8]?

    private static let pasteEnd: [UInt8] = Array("\u{1B}[201~".utf8)
    /// No real sequence is longer; what is longer is dropped.
    private static let longestSequence = 64

    /// Whether the bytes so far end inside a sequence.
    var isIncomplete: Bool { !pending.isEmpty }

    /// The keys that are complete now.
    mutating func decode(_ bytes: some Sequence<UInt8>) -> [Key] {
        pending += bytes
        var keys: [Key] = []
        while let key = next() {
            guard let key = key.key else { continue }
            // Characters that came together are inserted together.
            if case .text(let text) = key, case .text(let before) = keys.last {
                keys[keys.count - 1] = .text(before + text)
            } else {
                keys.append(key)
            }
        }
        return keys
    }

    /// Called when nothing has come for a while: a lone escape is a key press then, and not the start of a sequence.
    mutating func flush() {
        if paste == nil { pending = [] }
    }

    /// A sequence that was consumed; it may stand for nothing.
    private struct Step { var key: Key? }

    private mutating func next() -> Step? {
        if paste != nil { return nextOfPaste() }
        guard let first = pending.first else { return nil }
        switch first {
        case 0x1B: return nextEscape()
        case 0..<0x20, 0x7F:
            pending.removeFirst()
            return Step(key: Self.control(first))
        default: return nextScalar(first)
        }
    }

    private mutating func nextScalar(_ first: UInt8) -> Step? {
        let length = first < 0x80 ? 1 : first < 0xC2 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 1
        let continuation = pending.dropFirst().prefix(length - 1).prefix { $0 & 0xC0 == 0x80 }
        if 1 + continuation.count < length, 1 + continuation.count == pending.count { return nil }
        let scalar = pending.prefix(1 + continuation.count)
        pending.removeFirst(scalar.count)
        return Step(key: .text(String(decoding: scalar, as: UTF8.self)))
    }

    private mutating func nextEscape() -> Step? {
        guard pending.count > 1 else { return nil }
        let end: Int
        switch pending[1] {
        case UInt8(ascii: "["):
            // Parameters and intermediates, then a final byte.
            guard let final = pending.dropFirst(2).firstIndex(where: { !(0x20..<0x40).contains($0) }) else {
                if pending.count > Self.longestSequence { pending = [] }
                return nil
            }
            end = final + 1
        case UInt8(ascii: "O"):
            guard pending.count > 2 else { return nil }
            end = 3
        case 0x1B:
            // Escape pressed before a key that sends a sequence of its own.
            end = 1
        default: end = 2
        }
        let sequence = String(decoding: pending[1..<end], as: UTF8.self)
        pending.removeFirst(end)
        if sequence == "[200~" {
            paste = []
            return Step(key: nil)
        }
        return Step(key: Self.sequences[sequence])
    }

    private mutating func nextOfPaste() -> Step? {
        guard var pasted = paste else { return nil }
        paste = nil
        // The end may have begun in what came before.
        let searchStart = max(pasted.count - Self.pasteEnd.count, 0)
        pasted += pending
        pending = []
        guard let end = pasted[searchStart...].firstRange(of: Self.pasteEnd) else {
            paste = pasted
            return nil
        }
        pending = Array(pasted[end.upperBound...])
        return Step(key: .paste(Self.cleaned(pasted[..<end.lowerBound])))
    }

    /// Terminals send a carriage return for every newline; other control characters have no business in a message.
    private static func cleaned(_ bytes: ArraySlice<UInt8>) -> String {
        var result = String.UnicodeScalarView()
        var previous: Unicode.Scalar = " "
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            if scalar == "\r" || (scalar == "\n" && previous != "\r") {
                result.append("\n")
            } else if scalar == "\t" || scalar.properties.generalCategory != .control {
                result.append(scalar)
            }
            previous = scalar
        }
        return String(result)
    }

    private static func control(_ byte: UInt8) -> Key? {
        switch byte {
        case 0x01: .home  // Ctrl-A
        case 0x02: .left  // Ctrl-B
        case 0x03: .interrupt
        case 0x04: .endOfInput
        case 0x05: .end  // Ctrl-E
        case 0x06: .right  // Ctrl-F
        case 0x08, 0x7F: .backspace
        case 0x09: .tab
        case 0x0A, 0x0D: .enter
        case 0x0B: .killToEnd  // Ctrl-K
        case 0x0C: .clearScreen  // Ctrl-L
        case 0x0E: .down  // Ctrl-N
        case 0x10: .up  // Ctrl-P
        case 0x15: .killToStart  // Ctrl-U
        case 0x17: .killWord  // Ctrl-W
        default: nil
        }
    }

    /// What follows the escape character.
    private static let sequences: [String: Key] = [
        "[A": .up, "OA": .up, "[B": .down, "OB": .down, "[C": .right, "OC": .right, "[D": .left, "OD": .left,
        "[H": .home, "OH": .home, "[1~": .home, "[7~": .home, "[F": .end, "OF": .end, "[4~": .end, "[8~": .end,
        "[3~": .delete, "[1;5D": .wordLeft, "[1;3D": .wordLeft, "[5D": .wordLeft, "b": .wordLeft,
        "[1;5C": .wordRight, "[1;3C": .wordRight, "[5C": .wordRight, "f": .wordRight, "\u{7F}": .killWord,
        "\u{8}": .killWord,
    ]
}
