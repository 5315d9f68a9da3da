/// Philox4x32-10: a counter-based random number generator (Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As
/// Easy as 1, 2, 3", SC 2011).
///
/// It has no state: the number for (key, counter) is a function of both. Keyed by a request's seed and counted by the
/// token's position, a draw is the same in any batch, after preemption, and when a draft is verified.
package enum Philox {
    package typealias Block = (UInt32, UInt32, UInt32, UInt32)

    /// Ten rounds over `counter`.
    package static func block(counter: Block, key: (UInt32, UInt32)) -> Block {
        var (c0, c1, c2, c3) = counter
        var (k0, k1) = key
        for _ in 0..<10 {
            let low = c0.multipliedFullWidth(by: 0xD251_1F53)
            let high = c2.multipliedFullWidth(by: 0xCD9E_8D57)
            (c0, c1, c2, c3) = (high.high ^ c1 ^ k0, high.low, low.high ^ c3 ^ k1, low.low)
            // The Weyl sequence of the golden ratio and of sqrt(3) - 1.
            k0 &+= 0x9E37_79B9
            k1 &+= 0xBB67_AE85
        }
        return (c0, c1, c2, c3)
    }

    /// What a number is drawn for: numbers for different purposes are independent of each other.
    package enum Purpose: UInt32 {
        case token = 0
        case requestSeed = 1
        case xtc = 2
    }

    /// 64 random bits.
    package static func bits(seed: UInt64, position: UInt64, purpose: Purpose) -> UInt64 {
        let result = block(
            counter: (
                UInt32(truncatingIfNeeded: position), UInt32(truncatingIfNeeded: position >> 32), purpose.rawValue, 0
            ),
            key: (UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32)))
        return UInt64(result.1) << 32 | UInt64(result.0)
    }

    /// A number in [0, 1) that is a multiple of 2^-53.
    package static func uniform(seed: UInt64, position: UInt64, purpose: Purpose = .token) -> Double {
        Double(bits(seed: seed, position: position, purpose: purpose) >> 11) * 0x1p-53
    }
}
