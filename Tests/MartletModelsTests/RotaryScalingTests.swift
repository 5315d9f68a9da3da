import Foundation
import MartletCheckpoints
import MartletGraph
import Testing

@testable import MartletModels

/// Frequencies against the definitions in the papers, pair by pair.
@Suite struct RotaryScalingTests {
    private func frequencies(_ scaling: RopeConfiguration.Scaling, factors: [Float]? = nil) -> RotaryEmbedding {
        RotaryEmbedding(
            RopeConfiguration(theta: 10_000, dimensionCount: 64, scaling: scaling), contextLength: 4096,
            factors: factors)
    }

    private let plain = (0..<32).map { Float(pow(10_000, -Double($0) / 32)) }

    @Test func unscaledFrequenciesAreARow() {
        #expect(frequencies(.none).inverseFrequencies == plain)
        #expect(frequencies(.none).attentionFactor == 1)
    }

    @Test func linearDividesEveryFrequency() {
        let scaled = frequencies(.linear(factor: 4)).inverseFrequencies
        for (scaled, plain) in zip(scaled, plain) { #expect(abs(scaled - plain / 4) <= plain * 1e-6) }
    }

    @Test func factorsDivideTheirOwnFrequency() {
        let factors = (0..<32).map { Float($0 + 1) }
        let scaled = frequencies(.none, factors: factors).inverseFrequencies
        for index in 0..<32 { #expect(abs(scaled[index] - plain[index] / factors[index]) <= plain[index] * 1e-6) }
    }

    /// Wavelengths below 8192 / 4 stay, those above 8192 / 1 are divided by 8, and those between lie between.
    @Test func llama3SlowsLongWavelengthsOnly() {
        let scaled = frequencies(
            .llama3(
                .init(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextLength: 8192))
        ).inverseFrequencies
        var kinds = Set<Int>()
        for (scaled, plain) in zip(scaled, plain) {
            let wavelength = 2 * Float.pi / plain
            if wavelength < 2048 {
                #expect(scaled == plain)
                kinds.insert(0)
            } else if wavelength > 8192 {
                #expect(abs(scaled - plain / 8) <= plain * 1e-6)
                kinds.insert(1)
            } else {
                #expect(scaled < plain && scaled > plain / 8)
                kinds.insert(2)
            }
        }
        #expect(kinds == [0, 1, 2], "all three cases occur")
    }

    /// The fastest pairs stay, the slowest are divided by the factor, and cos and sin grow by 0.1 ln(factor) + 1.
    @Test func yarnRampsBetweenFastAndSlowPairs() {
        let scaled = frequencies(
            .yarn(
                .init(factor: 4, originalContextLength: 4096, attentionFactor: nil, betaFast: 32, betaSlow: 1)))
        #expect(scaled.inverseFrequencies.first == plain.first)
        #expect(abs(scaled.inverseFrequencies[31] - plain[31] / 4) <= plain[31] * 1e-6)
        #expect(zip(scaled.inverseFrequencies, plain).allSatisfy { $0 <= $1 && $0 >= $1 / 4 * 0.999_999 })
        #expect(abs(scaled.attentionFactor - Float(0.1 * log(4.0) + 1)) < 1e-6)
    }
}
