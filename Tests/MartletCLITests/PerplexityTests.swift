import Foundation
import Testing

@testable import MartletCLI

@Suite struct PerplexityTests {
    private func windows(_ count: Int, context: Int, stride: Int? = nil, half: Bool = false) -> PerplexityWindows {
        PerplexityWindows(tokenCount: count, context: context, stride: stride ?? context, secondHalfOnly: half)
    }

    @Test func disjointWindowsCountAllButTheirFirstToken() {
        // The fixtures' text: 59,976 tokens, 117 windows, 59,787 targets.
        let text = windows(59_976, context: 512)
        #expect(text.count == 117)
        #expect((0..<117).reduce(0) { $0 + text[$1].targets.count } == 59_787)
        #expect(text[1] == .init(tokens: 512..<1024, targets: 513..<1024))
        #expect(windows(511, context: 512).count == 0)
        #expect(windows(512, context: 512).count == 1)
    }

    @Test func secondHalves() {
        let text = windows(1024, context: 512, half: true)
        #expect(text[0].targets == 257..<512)
        #expect(text[1].targets == 769..<1024)
    }

    @Test func overlappingWindowsCountEachTokenOnce() {
        let text = windows(100, context: 20, stride: 5)
        var counted: [Int] = []
        for index in 0..<text.count { counted += Array(text[index].targets) }
        #expect(counted == Array(1..<100))
    }

    /// The formula, term by term.
    @Test func negativeLogLikelihoods() {
        let logits: [Float] = [0.5, -1, 3, 2.25]
        let sum = logits.reduce(0) { $0 + exp(Double($1)) }
        for target in logits.indices {
            let value = logits.withUnsafeBufferPointer { negativeLogLikelihood(of: target, logits: $0) }
            // Both round in double precision a few times.
            #expect(abs(value - (log(sum) - Double(logits[target]))) < 1e-14)
        }
        let large: [Float] = [1000, 999]
        let value = large.withUnsafeBufferPointer { negativeLogLikelihood(of: 0, logits: $0) }
        #expect(abs(value - log(1 + exp(-1.0))) < 1e-12)
        #expect([Float.nan, 1].withUnsafeBufferPointer { negativeLogLikelihood(of: 1, logits: $0) } == .infinity)
    }

    @Test func meanAndError() throws {
        var statistics = PerplexityStatistics()
        for window in [[1.0, 2, 6], [3]] {
            statistics.beginWindow()
            for value in window { statistics.add(value) }
        }
        #expect(statistics.count == 4)
        #expect(abs(statistics.mean - 3) < 1e-12)
        #expect(statistics.windowMeans == [3, 3])
        // Squares: 4 + 1 + 9 + 0 = 14; standard error = sqrt(14 / 3 / 4).
        let error = try #require(statistics.perplexityError)
        #expect(abs(error - exp(3.0) * (14.0 / 12).squareRoot()) < 1e-9)
    }
}
