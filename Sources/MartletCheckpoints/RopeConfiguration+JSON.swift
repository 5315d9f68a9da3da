import Glibc

extension RopeConfiguration {
    /// From `rope_theta` and `rope_scaling`, or from the `rope_parameters` that transformers 5 writes instead.
    init(_ text: SettingsFile, headDim: Int, maxPositionEmbeddings: Int) throws(CheckpointError) {
        let key = text.has("rope_parameters") ? "rope_parameters" : "rope_scaling"
        let parameters = try text.section(key)
        if let parameters, parameters.has("full_attention") || parameters.has("sliding_attention") {
            throw parameters.failure("full_attention", "differs from other layers' parameters, which is not supported")
        }
        // The newer spelling has them all in one object.
        func place(of key: String) -> SettingsFile { parameters?.has(key) == true ? parameters ?? text : text }
        theta = try place(of: "rope_theta").optionalPositiveNumber("rope_theta", below: 1e15) ?? 10_000
        let shareKey = "partial_rotary_factor"
        let share = try place(of: shareKey).number(shareKey) ?? 1
        guard share > 0, share <= 1 else { throw text.failure(shareKey, "is \(share), not above 0 and at most 1") }
        dimensionCount = Int(Double(headDim) * share)
        guard dimensionCount > 0, dimensionCount % 2 == 0 else {
            throw text.failure(shareKey, "is \(share), which rotates \(dimensionCount) of \(headDim) dimensions")
        }
        scaling = .none
        guard let parameters else { return }
        scaling = try Scaling(
            parameters, original: text.optionalSize(Self.originalKey, limit: ModelConfiguration.Limits.contextLength),
            maxPositionEmbeddings: maxPositionEmbeddings)
        if case .dynamic = scaling, dimensionCount < 4 {
            throw parameters.failure("rope_type", "is 'dynamic', which needs more than \(dimensionCount) dimensions")
        }
    }

    fileprivate static let originalKey = "original_max_position_embeddings"

    /// The longest context of a model whose file states `positions`: the scalings below stretch the context that the model
    /// was trained with, which is what many files state.
    func stretched(_ positions: Int) -> Int {
        func product(_ original: Int, _ factor: Double) -> Int {
            Int(min(Double(original) * factor, Double(ModelConfiguration.Limits.contextLength)))
        }
        return switch scaling {
        case .none, .llama3: positions
        case .linear(let factor): max(positions, product(positions, factor))
        case .dynamic(let factor, let original): max(positions, product(original, factor))
        case .yarn(let yarn): max(positions, product(yarn.originalContextLength, yarn.factor))
        }
    }
}

extension RopeConfiguration.Scaling {
    private static let factorLimit = 1e6

    /// - Parameter original: the context that the model was trained with, where the file says so outside of `parameters`.
    fileprivate init(
        _ parameters: SettingsFile, original: Int?, maxPositionEmbeddings: Int
    ) throws(CheckpointError) {
        func factor() throws(CheckpointError) -> Double? {
            try parameters.optionalPositiveNumber("factor", below: Self.factorLimit)
        }
        func requiredFactor() throws(CheckpointError) -> Double { try parameters.required(factor(), "factor") }
        let key = RopeConfiguration.originalKey
        let inside = try parameters.optionalSize(key, limit: ModelConfiguration.Limits.contextLength)
        let originalLength = original ?? inside ?? maxPositionEmbeddings
        let typeKey = parameters.has("rope_type") ? "rope_type" : "type"
        switch try parameters.string(typeKey) ?? "default" {
        // The positions of `mrope` differ between text and images; of text alone they are the usual ones.
        case "default", "mrope": self = .none
        case "linear": self = .linear(factor: try requiredFactor())
        // Here it is what the file calls the longest context that counts.
        case "dynamic":
            self = .dynamic(factor: try requiredFactor(), originalContextLength: maxPositionEmbeddings)
        case "llama3":
            self = .llama3(
                try RopeConfiguration.Llama3(
                    parameters, factor: requiredFactor(), originalContextLength: originalLength))
        case "yarn":
            let implied = Double(maxPositionEmbeddings) / Double(originalLength)
            self = .yarn(
                try RopeConfiguration.Yarn(
                    parameters, factor: factor() ?? implied, originalContextLength: originalLength))
        case let type:
            throw parameters.failure(
                typeKey, "is '\(type)', which is not supported (known: default, dynamic, linear, llama3, yarn)")
        }
    }
}

extension RopeConfiguration.Llama3 {
    fileprivate init(
        _ parameters: SettingsFile, factor: Double, originalContextLength: Int
    ) throws(CheckpointError) {
        func required(_ key: String) throws(CheckpointError) -> Double {
            try parameters.required(parameters.optionalPositiveNumber(key, below: 1e6), key)
        }
        self.factor = factor
        self.originalContextLength = originalContextLength
        lowFrequencyFactor = try required("low_freq_factor")
        highFrequencyFactor = try required("high_freq_factor")
        guard highFrequencyFactor > lowFrequencyFactor else {
            throw parameters.failure(
                "high_freq_factor", "is \(highFrequencyFactor), not above low_freq_factor (\(lowFrequencyFactor))")
        }
    }
}

extension RopeConfiguration.Yarn {
    fileprivate init(
        _ parameters: SettingsFile, factor: Double, originalContextLength: Int
    ) throws(CheckpointError) {
        self.factor = factor
        self.originalContextLength = originalContextLength
        attentionFactor = try parameters.optionalPositiveNumber("attention_factor", below: 1e3)
        if attentionFactor == nil,
            let scale = try parameters.optionalPositiveNumber("mscale", below: 1e3),
            let scaleOfAll = try parameters.optionalPositiveNumber("mscale_all_dim", below: 1e3)
        {
            func magnitude(_ scale: Double) -> Double { factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1 }
            attentionFactor = magnitude(scale) / magnitude(scaleOfAll)
        }
        betaFast = try parameters.optionalPositiveNumber("beta_fast", below: 1e6) ?? 32
        betaSlow = try parameters.optionalPositiveNumber("beta_slow", below: 1e6) ?? 1
        truncates = try parameters.boolean("truncate") ?? true
    }
}
