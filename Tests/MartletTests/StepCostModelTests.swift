import Martlet
import Testing

@Suite struct StepCostModelTests {
    /// A machine with fixed costs, in seconds.
    struct Machine {
        var decoding: Double
        var perToken: Double
        var perPosition: Double
        var costs = StepCostModel()

        mutating func decode() {
            costs.record(tokens: 4, promptTokens: 0, promptPositions: 0, seconds: decoding)
        }

        /// Computes a prompt beside four other requests, in chunks that should take `target` seconds with them.
        ///
        /// - Returns: how long each step took.
        mutating func run(_ promptCount: Int, target: Double) -> [Double] {
            var durations: [Double] = []
            var start = 0
            while start < promptCount {
                let count = min(costs.allowance(target: target).tokens(from: start), promptCount - start, 512)
                let positions = count * start + count * count / 2
                let seconds = decoding + Double(count) * perToken + Double(positions) * perPosition
                costs.record(
                    tokens: count + 4, promptTokens: count, promptPositions: positions, seconds: seconds)
                durations.append(seconds)
                start += count
            }
            return durations
        }
    }

    /// The last chunk of a prompt is what is left of it, so it doesn't count.
    @Test func chunksTakeTheTargetTime() {
        var machine = Machine(decoding: 0.005, perToken: 0.0002, perPosition: 1e-7)
        for _ in 0..<10 { machine.decode() }
        let first = machine.run(4000, target: 0.05).dropLast()
        // The first is a guess; then they are found out.
        #expect(first.allSatisfy { $0 < 0.1 })
        #expect(first.dropFirst(4).allSatisfy { abs($0 - 0.05) < 0.01 })
        // From the end of one prompt to the beginning of the next, prices fall.
        let second = machine.run(4000, target: 0.05).dropLast()
        #expect(second.allSatisfy { $0 < 0.06 })
        #expect(second.dropFirst(4).allSatisfy { abs($0 - 0.05) < 0.01 })
    }

    @Test func aSlowMachineStillMakesProgress() {
        var machine = Machine(decoding: 0.2, perToken: 0.01, perPosition: 0)
        for _ in 0..<10 { machine.decode() }
        let steps = machine.run(1000, target: 0.05).dropLast()
        // As long for the prompt as for the others.
        #expect(steps.dropFirst(4).allSatisfy { abs($0 - 0.4) < 0.05 })
    }
}
