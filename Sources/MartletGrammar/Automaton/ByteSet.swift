/// A set of bytes.
struct ByteSet: Hashable, Sendable {
    private var low: SIMD2<UInt64> = .zero
    private var high: SIMD2<UInt64> = .zero

    init() {}

    init(_ range: ClosedRange<UInt8>) {
        for byte in range { insert(byte) }
    }

    mutating func insert(_ byte: UInt8) {
        let bit = UInt64(1) << UInt64(byte & 63)
        switch byte >> 6 {
        case 0: low.x |= bit
        case 1: low.y |= bit
        case 2: high.x |= bit
        default: high.y |= bit
        }
    }

    func contains(_ byte: UInt8) -> Bool {
        let word =
            switch byte >> 6 {
            case 0: low.x
            case 1: low.y
            case 2: high.x
            default: high.y
            }
        return word >> UInt64(byte & 63) & 1 != 0
    }
}
