import Foundation
package import MartletCheckpoints
package import MartletGraph

extension RotaryEmbedding {
    /// The frequencies of a model's rotary embedding: θ^(-2i/d), then whatever scaling the model was trained with.
    ///
    /// - Parameter factors: values that divide the frequencies (`rope_freqs.weight` of a GGUF file), or nil.
    package init(_ rope: RopeConfiguration, contextLength: Int, factors: [Float]? = nil) {
        let dimensions = rope.dimensionCount
        func frequencies(theta: Double) -> [Double] {
            stride(from: 0, to: dimensions, by: 2).map { pow(theta, -Double($0) / Double(dimensions)) }
        }
        var inverse = frequencies(theta: rope.theta)
        var attentionFactor = 1.0
        switch rope.scaling {
        case .none: break
        case .linear(let factor):
            inverse = inverse.map { $0 / factor }
        case .dynamic(let factor, let original):
            // The base grows with the context (NTK-aware); fixed here at the longest context that the model is run with,
            // so that keys in the cache stay valid.
            let length = Double(max(contextLength, original))
            let growth = factor * length / Double(original) - (factor - 1)
            inverse = frequencies(
                theta: rope.theta * pow(growth, Double(dimensions) / Double(max(dimensions - 2, 1))))
        case .llama3(let scaling):
            inverse = inverse.map { Self.llama3($0, scaling) }
        case .yarn(let scaling):
            inverse = Self.yarn(inverse, theta: rope.theta, scaling)
            attentionFactor = scaling.attentionFactor ?? (scaling.factor <= 1 ? 1 : 0.1 * log(scaling.factor) + 1)
        }
        if let factors { inverse = zip(inverse, factors).map { $0 / Double($1) } }
        self.init(inverseFrequencies: inverse.map(Float.init), attentionFactor: Float(attentionFactor))
    }

    /// Llama 3.1: wavelengths longer than the original context are slowed by `factor`, short ones stay, with a ramp.
    private static func llama3(_ frequency: Double, _ scaling: RopeConfiguration.Llama3) -> Double {
        let wavelength = 2 * Double.pi / frequency
        let context = Double(scaling.originalContextLength)
        if wavelength < context / scaling.highFrequencyFactor { return frequency }
        if wavelength > context / scaling.lowFrequencyFactor { return frequency / scaling.factor }
        let smooth =
            (context / wavelength - scaling.lowFrequencyFactor)
            / (scaling.highFrequencyFactor - scaling.lowFrequencyFactor)
        return (1 - smooth) * frequency / scaling.factor + smooth * frequency
    }

    /// YaRN (Peng et al. 2023): dimensions that turn more than `betaFast` times in the original context stay, those that
    /// turn less than `betaSlow` times are interpolated, with a linear ramp over the dimensions between.
    private static func yarn(
        _ frequencies: [Double], theta: Double, _ scaling: RopeConfiguration.Yarn
    ) -> [Double] {
        let dimensions = Double(frequencies.count * 2)
        func dimension(turns: Double) -> Double {
            dimensions * log(Double(scaling.originalContextLength) / (turns * 2 * Double.pi)) / (2 * log(theta))
        }
        var low = dimension(turns: scaling.betaFast)
        var high = dimension(turns: scaling.betaSlow)
        if scaling.truncates { (low, high) = (low.rounded(.down), high.rounded(.up)) }
        (low, high) = (max(low, 0), min(high, dimensions - 1))
        // Whatever the parameters, the ramp is the reference's.
        let length = low == high ? 0.001 : high - low
        return frequencies.enumerated().map { index, frequency in
            let ramp = min(max((Double(index) - low) / length, 0), 1)
            return frequency * (1 - ramp) + frequency / scaling.factor * ramp
        }
    }
}
