import Martlet
import Testing

@Suite struct PhiloxTests {
    /// Known answers for Philox4x32-10, as published with Random123 (`kat_vectors`): counter, key, result.
    @Test func knownAnswers() {
        let zero = Philox.block(counter: (0, 0, 0, 0), key: (0, 0))
        #expect(zero == (0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8))
        let ones = Philox.block(counter: (.max, .max, .max, .max), key: (.max, .max))
        #expect(ones == (0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd))
        let pi = Philox.block(
            counter: (0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344), key: (0xa409_3822, 0x299f_31d0))
        #expect(pi == (0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1))
    }

    @Test func uniformNumbersAreBelowOneAndEven() {
        var buckets = Array(repeating: 0, count: 10)
        var outside = 0
        let draws = 100_000
        for position in 0..<draws {
            let number = Philox.uniform(seed: 1, position: UInt64(position))
            if number < 0 || number >= 1 { outside += 1 } else { buckets[Int(number * 10)] += 1 }
        }
        #expect(outside == 0)
        // Five standard deviations of a bucket of a tenth of the draws.
        let tolerance = 5 * (Double(draws) * 0.1 * 0.9).squareRoot()
        for bucket in buckets { #expect(abs(Double(bucket) - Double(draws) / 10) < tolerance) }
    }

    @Test func purposesAndSeedsAreIndependent() {
        let numbers = [
            Philox.bits(seed: 1, position: 5, purpose: .token),
            Philox.bits(seed: 1, position: 5, purpose: .requestSeed),
            Philox.bits(seed: 2, position: 5, purpose: .token),
            Philox.bits(seed: 1 << 32, position: 5, purpose: .token),
            Philox.bits(seed: 1, position: 5 << 32, purpose: .token),
        ]
        #expect(Set(numbers).count == numbers.count)
    }
}
