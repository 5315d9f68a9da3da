import Foundation
import TestSupport
import Testing

/// The fuzzers' targets without a fuzzer: their seeds, and a few hundred changes of each that are the same in every run. The
/// real thing is `make -C Fuzz` (CONTRIBUTING.md).
@Suite(.serialized) struct ReplayTests {
    @Test(arguments: FuzzTarget.all.map(\.name))
    func seedsAndTheirChangesAreReadWithoutATrap(_ name: String) throws {
        let target = try #require(FuzzTarget.all.first { $0.name == name })
        let seeds = try target.seeds()
        #expect(seeds.count >= 4 && seeds.allSatisfy { $0.count <= target.longest })
        // Where a trap ends the process, this file has the input: MARTLET_FUZZ=name Fuzz/build/fuzz FILE shows it again.
        let trace = FileManager.default.temporaryDirectory.appending(path: "martlet-replay-\(name)")
        func read(_ input: [UInt8]) throws {
            try Data(input).write(to: trace)
            target.read(input)
        }
        for seed in seeds { try read(seed) }
        var random = TestGenerator(seed: 1)
        let end = ContinuousClock.now + .seconds(Self.seconds)
        for _ in 0..<Self.changes where ContinuousClock.now < end {
            try read(Self.changed(seeds[random.below(seeds.count)], seeds[random.below(seeds.count)], &random))
        }
        try FileManager.default.removeItem(at: trace)
    }

    /// Changes of a target's seeds, and the time after which there are no more.
    private static let changes = 1000
    private static let seconds = 3.0

    /// A seed with some bytes changed, taken out, doubled, or replaced by a part of another.
    private static func changed(_ seed: [UInt8], _ other: [UInt8], _ random: inout TestGenerator) -> [UInt8] {
        var result = seed
        for _ in 0...random.below(4) where !result.isEmpty {
            let start = random.below(result.count)
            let range = start..<min(start + 1 + random.below(16), result.count)
            switch random.below(6) {
            case 0: result[start] ^= 1 << random.below(8)
            case 1: result[start] = [0, 0x22, 0x5B, 0x7B, 0x7F, 0x80, 0xFF][random.below(7)]
            case 2: result.removeSubrange(range)
            case 3: result.insert(contentsOf: Array(result[range]), at: start)
            case 4: result.removeSubrange(start...)
            default:
                let from = random.below(other.count + 1)
                result.replaceSubrange(range, with: other[from..<min(from + 16, other.count)])
            }
        }
        return result
    }
}
