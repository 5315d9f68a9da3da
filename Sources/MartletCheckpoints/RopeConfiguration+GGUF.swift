import Glibc

extension RopeConfiguration {
    /// `hasFactors`: the file holds a tensor of frequency divisors.
    init(
        _ keys: ArchitectureKeys, headDim: Int, contextLength: Int, hasFactors: Bool
    ) throws(CheckpointError) {
        theta = try keys.optionalPositiveNumber("rope.freq_base", below: 1e15) ?? 10_000
        dimensionCount = try keys.optionalSize("rope.dimension_count", limit: headDim) ?? headDim
        guard dimensionCount % 2 == 0 else {
            throw keys.failure("rope.dimension_count", "is \(dimensionCount), an odd number")
        }
        scaling = try Scaling(keys, contextLength: contextLength)
        frequencyFactorsTensor = hasFactors ? GGUFNames.ropeFactors : nil
    }
}

extension RopeConfiguration.Scaling {
    /// Contexts are stretched by less than this in every published model; more would make frequencies vanish.
    private static let factorLimit = 1e6

    fileprivate init(_ keys: ArchitectureKeys, contextLength: Int) throws(CheckpointError) {
        // `scale_linear` is the key that files of 2023 used.
        let oldFactor = try keys.optionalPositiveNumber("rope.scale_linear", below: Self.factorLimit)
        guard let type = try keys.string("rope.scaling.type") else {
            self = oldFactor.map { $0 == 1 ? .none : .linear(factor: $0) } ?? .none
            return
        }
        let factor = try keys.optionalPositiveNumber("rope.scaling.factor", below: Self.factorLimit) ?? oldFactor
        switch type {
        case "none": self = .none
        case "linear": self = .linear(factor: try keys.required(factor, "rope.scaling.factor"))
        case "yarn":
            let factor = try keys.required(factor, "rope.scaling.factor")
            self = .yarn(try RopeConfiguration.Yarn(keys, factor: factor, contextLength: contextLength))
        default: throw keys.failure("rope.scaling.type", "is '\(type)', which is not supported")
        }
    }
}

extension RopeConfiguration.Yarn {
    fileprivate init(_ keys: ArchitectureKeys, factor: Double, contextLength: Int) throws(CheckpointError) {
        self.factor = factor
        originalContextLength =
            try keys.optionalSize(
                "rope.scaling.original_context_length", limit: ModelConfiguration.Limits.contextLength) ?? contextLength
        // GGUF's factor multiplies the paper's; Hugging Face's replaces it.
        attentionFactor = try keys.optionalPositiveNumber("rope.scaling.attn_factor", below: 1e3).map {
            $0 * (factor > 1 ? 0.1 * log(factor) + 1 : 1)
        }
        betaFast = try keys.optionalPositiveNumber("rope.scaling.yarn_beta_fast", below: 1e6) ?? 32
        betaSlow = try keys.optionalPositiveNumber("rope.scaling.yarn_beta_slow", below: 1e6) ?? 1
    }
}
