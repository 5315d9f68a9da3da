/// Hashing of byte strings and integer pairs for the tables of this module.
///
/// A folded multiplication (the mixing step of wyhash) over eight bytes at a time; the seed differs from process to
/// process, so that no file can be built to make the tables degenerate.
enum ByteHash {
    private static let seed = UInt64.random(in: .min ... .max)
    private static let secret: UInt64 = 0x9E37_79B9_7F4A_7C15 ^ UInt64.random(in: .min ... .max)

    @inline(__always)
    static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        return product.high ^ product.low
    }

    /// What a table keeps to hash with: reading a global costs an initialization check each time.
    struct Key: Sendable {
        private let seed = ByteHash.seed
        private let secret = ByteHash.secret | 1

        @inline(__always)
        func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
            var hash = seed ^ UInt64(truncatingIfNeeded: bytes.count)
            var index = 0
            while index + 8 <= bytes.count {
                hash = ByteHash.mix(
                    hash ^ bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self), secret)
                index += 8
            }
            var tail: UInt64 = 0
            var shift: UInt64 = 0
            while index < bytes.count {
                tail |= UInt64(bytes[index]) << shift
                shift += 8
                index += 1
            }
            return ByteHash.mix(hash ^ tail, secret ^ 0xD6E8_FEB8_6659_FD93)
        }

        @inline(__always)
        func hash(_ value: UInt64) -> UInt64 {
            ByteHash.mix(value ^ seed, secret)
        }
    }
}
