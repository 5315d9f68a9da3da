/// Rotary position embedding (RoFormer, arXiv:2104.09864) and how a model stretches it to longer contexts. The parameters
/// are those of Hugging Face's `rope_parameters`.
public struct RopeConfiguration: Sendable, Equatable {
    /// Base of the frequencies.
    public var theta: Double
    /// Leading dimensions of each head that are rotated; even.
    public var dimensionCount: Int
    public var scaling: Scaling
    /// A tensor [dimensionCount / 2] whose values divide the frequencies. GGUF files of Llama 3.1 and later carry it instead
    /// of `Scaling.llama3`.
    public var frequencyFactorsTensor: String?

    package init(
        theta: Double, dimensionCount: Int, scaling: Scaling = .none, frequencyFactorsTensor: String? = nil
    ) {
        self.theta = theta
        self.dimensionCount = dimensionCount
        self.scaling = scaling
        self.frequencyFactorsTensor = frequencyFactorsTensor
    }

    public enum Scaling: Sendable, Equatable {
        case none
        /// Positions are divided by `factor` (arXiv:2306.15595).
        case linear(factor: Double)
        /// The base grows with the context beyond `originalContextLength`.
        case dynamic(factor: Double, originalContextLength: Int)
        case yarn(Yarn)
        case llama3(Llama3)
    }

    /// YaRN (arXiv:2309.00071).
    public struct Yarn: Sendable, Equatable {
        public var factor: Double
        public var originalContextLength: Int
        /// Multiplies the rotated queries and keys; nil for the paper's 0.1 ln(factor) + 1.
        public var attentionFactor: Double?
        /// Rotations over the original context above which a frequency is kept.
        public var betaFast: Double
        /// Rotations over the original context below which a frequency is divided by `factor`.
        public var betaSlow: Double
        /// The ramp between the two begins and ends at whole dimensions.
        public var truncates = true

        package init(
            factor: Double, originalContextLength: Int, attentionFactor: Double? = nil, betaFast: Double = 32,
            betaSlow: Double = 1
        ) {
            self.factor = factor
            self.originalContextLength = originalContextLength
            self.attentionFactor = attentionFactor
            self.betaFast = betaFast
            self.betaSlow = betaSlow
        }
    }

    /// The scaling of Llama 3.1: long wavelengths are divided by `factor`, short ones kept, with a ramp between.
    public struct Llama3: Sendable, Equatable {
        public var factor: Double
        public var lowFrequencyFactor: Double
        public var highFrequencyFactor: Double
        public var originalContextLength: Int

        package init(
            factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalContextLength: Int
        ) {
            self.factor = factor
            self.lowFrequencyFactor = lowFrequencyFactor
            self.highFrequencyFactor = highFrequencyFactor
            self.originalContextLength = originalContextLength
        }
    }
}
