public import MartletCheckpoints

extension SamplingParameters {
    /// What the model's makers recommend; where they say nothing, what `SamplingParameters()` has.
    public init(_ defaults: ModelConfiguration.GenerationDefaults) {
        self.init()
        if let value = defaults.temperature { temperature = Float(value) }
        if let value = defaults.topK { topK = value }
        if let value = defaults.topP { topP = Float(value) }
        if let value = defaults.minP { minP = Float(value) }
        if let value = defaults.repetitionPenalty { repetitionPenalty = Float(value) }
    }
}
