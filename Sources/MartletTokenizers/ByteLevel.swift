/// GPT-2's byte-level alphabet: each byte has a printable character, in which vocabularies and merges are spelled.
///
/// Printable Latin-1 bytes stand for themselves; the 68 others get U+0100, U+0101, … in order. Martlet translates a
/// vocabulary to bytes once, at load, and then works on the text's own bytes.
enum ByteLevel {
    /// By byte, its character.
    static let characters: [Unicode.Scalar] = {
        var next: UInt32 = 0x100
        return (0..<256).map { byte in
            let isPrintable =
                (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte)
            if isPrintable { return Unicode.Scalar(UInt8(byte)) }
            defer { next += 1 }
            return Unicode.Scalar(next) ?? " "
        }
    }()

    /// By scalar value below 0x144, its byte or -1.
    private static let bytes: [Int16] = {
        var result = [Int16](repeating: -1, count: 0x144)
        for (byte, scalar) in characters.enumerated() { result[Int(scalar.value)] = Int16(byte) }
        return result
    }()

    /// The bytes that a token spelled in the alphabet stands for; nil if it has other characters or is not UTF-8.
    static func decode(_ spelled: some Collection<UInt8>) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(spelled.count)
        var index = spelled.startIndex
        while index != spelled.endIndex {
            let first = spelled[index]
            spelled.formIndex(after: &index)
            var value = Int(first)
            if first >= 0x80 {
                // The alphabet ends at U+0143: two bytes at most.
                guard first & 0xE0 == 0xC0, index != spelled.endIndex, spelled[index] & 0xC0 == 0x80 else { return nil }
                value = Int(first & 0x1F) << 6 | Int(spelled[index] & 0x3F)
                spelled.formIndex(after: &index)
            }
            guard value < bytes.count, bytes[value] >= 0 else { return nil }
            result.append(UInt8(bytes[value]))
        }
        return result
    }

    static func encode(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        for byte in bytes {
            let value = characters[Int(byte)].value
            if value < 0x80 {
                result.append(UInt8(value))
            } else {
                result.append(0xC0 | UInt8(value >> 6))
                result.append(0x80 | UInt8(value & 0x3F))
            }
        }
        return result
    }
}
