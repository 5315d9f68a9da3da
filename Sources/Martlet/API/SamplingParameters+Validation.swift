extension SamplingParameters {
    /// Most answers to one prompt, as in OpenAI's API.
    public static let maximumChoices = 128
    /// Most alternatives that `logprobs` and `promptLogprobs` may ask for, as in OpenAI's API.
    public static let maximumLogprobs = 20
    /// Most stop strings, and their longest size in UTF-8. Every byte of an answer is compared with each of them.
    public static let maximumStopStrings = 64
    public static let maximumStopStringBytes = 4096
    /// Most bad words, and their longest size in UTF-8. Each is compared with the answer's end before every token.
    public static let maximumBadWords = 256
    public static let maximumBadWordBytes = 1024

    /// Checks what can be checked without knowing the model.
    ///
    /// - Throws: `invalidParameter`, naming the field.
    public func validate() throws(EngineError) {
        try Self.check(
            "n", (1...Self.maximumChoices).contains(n), "must be between 1 and \(Self.maximumChoices), but is \(n)")
        if let bestOf {
            try Self.check(
                "bestOf", (n...Self.maximumChoices).contains(bestOf),
                "must be between n (\(n)) and \(Self.maximumChoices), but is \(bestOf)")
        }
        if let maxTokens { try Self.check("maxTokens", maxTokens >= 1, "must be at least 1, not \(maxTokens)") }
        try Self.check("minTokens", minTokens >= 0, "must not be negative, but is \(minTokens)")
        if let maxTokens {
            try Self.check("minTokens", minTokens <= maxTokens, "is \(minTokens), more than maxTokens (\(maxTokens))")
        }
        try Self.check("temperature", temperature, in: 0...Float.greatestFiniteMagnitude)
        try Self.check("topK", topK >= -1, "must be positive, or 0 or -1 for all tokens, but is \(topK)")
        try Self.check("topP", topP > 0 && topP <= 1, "must be above 0 and at most 1, but is \(topP)")
        try Self.check("minP", minP, in: 0...1)
        try Self.check("typicalP", typicalP > 0 && typicalP <= 1, "must be above 0 and at most 1, but is \(typicalP)")
        try Self.check("xtcProbability", xtcProbability, in: 0...1)
        try Self.check("xtcThreshold", xtcThreshold, in: 0...1)
        // Beyond that logits leave the range of floats, or answers make no sense in any case.
        try Self.check("repetitionPenalty", repetitionPenalty, in: 0.01...100)
        try Self.check("presencePenalty", presencePenalty, in: -2...2)
        try Self.check("frequencyPenalty", frequencyPenalty, in: -2...2)
        for (token, bias) in logitBias {
            try Self.check("logitBias", token >= 0, "has the negative token id \(token)")
            try Self.check("logitBias", bias, in: -100...100)
        }
        if let allowedTokenIDs {
            try Self.check("allowedTokenIDs", !allowedTokenIDs.isEmpty, "must not be empty")
            for token in allowedTokenIDs {
                try Self.check("allowedTokenIDs", token >= 0, "has the negative token id \(token)")
            }
        }
        try Self.check(
            "badWords", badWords.count <= Self.maximumBadWords, "may have \(Self.maximumBadWords) words at most")
        for word in badWords {
            try Self.check("badWords", !word.allSatisfy(\.isWhitespace), "must not have an empty word")
            try Self.check(
                "badWords", word.utf8.count <= Self.maximumBadWordBytes,
                "has a word of more than \(Self.maximumBadWordBytes) bytes")
        }
        if structure != nil {
            for (name, holds) in [
                ("allowedTokenIDs", allowedTokenIDs == nil), ("ignoreEOS", !ignoreEOS), ("minTokens", minTokens == 0),
            ] {
                try Self.check(name, holds, "must not be set for an answer that is held to a structure")
            }
        }
        try Self.check(
            "stop", stop.count <= Self.maximumStopStrings, "may have \(Self.maximumStopStrings) strings at most")
        for string in stop {
            try Self.check("stop", !string.isEmpty, "must not have an empty string")
            try Self.check(
                "stop", string.utf8.count <= Self.maximumStopStringBytes,
                "has a string of more than \(Self.maximumStopStringBytes) bytes")
        }
        for token in stopTokenIDs { try Self.check("stopTokenIDs", token >= 0, "has the negative token id \(token)") }
        for (name, value) in [("logprobs", logprobs), ("promptLogprobs", promptLogprobs)] {
            guard let value else { continue }
            try Self.check(
                name, (0...Self.maximumLogprobs).contains(value),
                "must be between 0 and \(Self.maximumLogprobs), but is \(value)")
        }
    }

    /// Checks everything, for a model with this many tokens.
    package func validate(vocabularySize: Int) throws(EngineError) {
        try validate()
        for token in logitBias.keys {
            try Self.check("logitBias", token < vocabularySize, "has token \(token) of \(vocabularySize)")
        }
        for (name, tokens) in [("stopTokenIDs", stopTokenIDs), ("allowedTokenIDs", allowedTokenIDs ?? [])] {
            for token in tokens {
                try Self.check(name, token < vocabularySize, "has token \(token) of \(vocabularySize)")
            }
        }
    }

    private static func check(
        _ name: String, _ holds: Bool, _ reason: @autoclosure () -> String
    ) throws(EngineError) {
        if !holds { throw .invalid(name, reason()) }
    }

    /// NaN is in no range.
    private static func check(_ name: String, _ value: Float, in range: ClosedRange<Float>) throws(EngineError) {
        if range.contains(value) { return }
        if range.upperBound == .greatestFiniteMagnitude {
            throw .invalid(name, "must be a number, at least \(range.lowerBound), but is \(value)")
        }
        throw .invalid(name, "must be between \(range.lowerBound) and \(range.upperBound), but is \(value)")
    }
}
