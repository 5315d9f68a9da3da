/// SentencePiece's `precompiled_charsmap`: a double-array trie (Darts) from character sequences to their replacements.
///
/// Layout: the trie's size in bytes (little-endian UInt32), its units (UInt32 each), then replacement strings that end
/// in a zero byte. A unit: https://github.com/s-yata/darts-clone.
struct PrecompiledCharacterMap: Sendable {
    /// The reference looks up a whole grapheme cluster only if it is shorter than this, else scalar by scalar.
    private static let longestCluster = 6

    private let units: [UInt32]
    private let replacements: [UInt8]

    init(_ data: [UInt8]) throws(TokenizerError) {
        func unit(_ offset: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(data[offset + $1]) << UInt32(8 * $1) }
        }
        guard data.count >= 4, case let size = Int(unit(0)), size % 4 == 0, size > 0, size <= data.count - 4 else {
            throw .malformed("precompiled_charsmap: the trie does not fit")
        }
        units = stride(from: 4, to: 4 + size, by: 4).map(unit)
        replacements = Array(data[(4 + size)...])
        guard String(validating: replacements, as: UTF8.self) != nil else {
            throw .malformed("precompiled_charsmap: replacements are not UTF-8")
        }
    }

    func normalize(_ text: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        for cluster in String(decoding: text, as: UTF8.self) {
            let bytes = Array(String(cluster).utf8)
            if bytes.count < Self.longestCluster, let replacement = replacement(of: bytes) {
                result.append(contentsOf: replacement)
                continue
            }
            for scalar in cluster.unicodeScalars {
                let bytes = Array(String(scalar).utf8)
                result.append(contentsOf: replacement(of: bytes) ?? bytes[...])
            }
        }
        return result
    }

    /// The replacement of the shortest stored sequence that `bytes` start with, as in the reference.
    private func replacement(of bytes: [UInt8]) -> ArraySlice<UInt8>? {
        var node = 0
        var unit = units[0]
        node ^= Self.offset(unit)
        for byte in bytes where byte != 0 {
            node ^= Int(byte)
            guard node >= 0, node < units.count else { return nil }
            unit = units[node]
            guard unit & (1 << 31 | 0xFF) == UInt32(byte) else { return nil }
            node ^= Self.offset(unit)
            if unit >> 8 & 1 == 1 {
                guard node >= 0, node < units.count else { return nil }
                let start = Int(units[node] & 0x7FFF_FFFF)
                guard start < replacements.count else { return nil }
                let end = replacements[start...].firstIndex(of: 0) ?? replacements.count
                return replacements[start..<end]
            }
        }
        return nil
    }

    private static func offset(_ unit: UInt32) -> Int {
        Int((unit >> 10) << ((unit & (1 << 9)) >> 6))
    }
}
