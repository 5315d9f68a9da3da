package import MartletGrammar

/// What the sampler knows about one request.
package struct SamplingState: Sendable {
    /// Temperatures below this are greedy: dividing by them would leave one token anyway, or overflow.
    static let smallestTemperature: Float = 1e-5

    package let temperature: Float
    package let topK: Int
    package let topP: Float
    package let minP: Float
    package let typicalP: Float
    package let xtcProbability: Float
    package let xtcThreshold: Float
    package let repetitionPenalty: Float
    package let presencePenalty: Float
    package let frequencyPenalty: Float
    package let logitBias: [(token: Int32, bias: Float)]
    /// The only tokens that may be chosen, or nil for all.
    package let allowedTokens: [Int32]?
    /// Tokens that end the answer, which can't be chosen before `minTokens` were generated.
    package let stopTokens: [Int32]
    package let minTokens: Int
    package let seed: UInt64
    /// How many alternatives' log-probabilities are reported, or nil for none at all.
    package let logprobs: Int?

    package private(set) var generatedCount = 0
    /// Nil when no penalty needs it.
    package private(set) var counts: TokenCounts?
    /// Nil when there are no bad words.
    private var bannedSequences: BannedSequences?
    /// Where the answer stands in its structure, if it has to have one.
    package private(set) var matcher: GrammarMatcher?

    /// - Parameters:
    ///   - parameters: validated for the model's vocabulary.
    ///   - stopTokens: the tokens that end this request, end-of-sequence tokens included unless they are ignored.
    ///   - badWords: the sequences that spell `parameters.badWords`, none of them empty.
    ///   - matcher: `parameters.structure`, compiled.
    ///   - seed: of the request: `parameters.seed`, or one drawn for it.
    package init(
        _ parameters: SamplingParameters, prompt: [Int32], stopTokens: [Int32], badWords: [[Int32]] = [],
        matcher: GrammarMatcher? = nil, seed: UInt64
    ) {
        temperature = parameters.temperature
        topK = max(0, parameters.topK)
        topP = parameters.topP
        minP = parameters.minP
        typicalP = parameters.typicalP
        xtcProbability = parameters.xtcProbability
        xtcThreshold = parameters.xtcThreshold
        repetitionPenalty = parameters.repetitionPenalty
        presencePenalty = parameters.presencePenalty
        frequencyPenalty = parameters.frequencyPenalty
        logitBias = parameters.logitBias.map { (Int32($0.key), $0.value) }
        allowedTokens = parameters.allowedTokenIDs.map { $0.map { Int32($0) } }
        bannedSequences = badWords.isEmpty ? nil : BannedSequences(badWords)
        self.matcher = matcher
        self.stopTokens = stopTokens
        minTokens = parameters.minTokens
        self.seed = seed
        logprobs = parameters.logprobs
        let penalizes = repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0
        counts = penalizes ? TokenCounts(prompt: prompt) : nil
    }

    package var isGreedy: Bool { temperature < Self.smallestTemperature }

    var masksStopTokens: Bool { generatedCount < minTokens && !stopTokens.isEmpty }

    /// Whether the logits change before the temperature is applied.
    var adjustsLogits: Bool {
        counts != nil || !logitBias.isEmpty || allowedTokens != nil || matcher != nil || bannedSequences != nil
            || masksStopTokens
    }

    /// Takes note of a generated token.
    package mutating func record(_ token: Int32) {
        generatedCount += 1
        counts?.record(token)
        bannedSequences?.record(token)
        matcher?.accept(token)
    }

    /// Copies a row of logits with bias, masks and penalties. Each token's logit is changed by its own entries only, so
    /// their order in the lists doesn't matter.
    ///
    /// - Throws: `overconstrained` where the answer's structure is too complex to follow.
    func adjust(
        _ row: UnsafePointer<Float>, into logits: UnsafeMutablePointer<Float>, count: Int
    ) throws(EngineError) {
        if let matcher {
            try mask(row, into: logits, count: count, matcher)
        } else if let allowedTokens {
            logits.update(repeating: -.infinity, count: count)
            for token in allowedTokens { logits[Int(token)] = row[Int(token)] }
        } else {
            logits.update(from: row, count: count)
        }
        for (token, bias) in logitBias { logits[Int(token)] += bias }
        // A tokenizer may have tokens that the model has no logits of.
        let known = 0..<Int32(count)
        bannedSequences?.forEachBanned { if known.contains($0) { logits[Int($0)] = -.infinity } }
        if masksStopTokens {
            for token in stopTokens where known.contains(token) { logits[Int(token)] = -.infinity }
        }
        guard let counts else { return }
        for entry in counts.entries {
            var logit = logits[Int(entry.token)]
            logit = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty
            logit -= frequencyPenalty * Float(entry.generated)
            if entry.generated > 0 { logit -= presencePenalty }
            logits[Int(entry.token)] = logit
        }
    }

    /// Leaves the tokens that the answer's structure admits. Where the answer may end, it may also end with a stop token.
    private func mask(
        _ row: UnsafePointer<Float>, into logits: UnsafeMutablePointer<Float>, count: Int, _ matcher: GrammarMatcher
    ) throws(EngineError) {
        let next: (tokens: TokenMask, isComplete: Bool)
        do {
            next = try matcher.mask()
        } catch {
            throw EngineError(.overconstrained, "the answer's structure: \(error)")
        }
        logits.update(repeating: -.infinity, count: count)
        next.tokens.forEachToken { if $0 < count { logits[$0] = row[$0] } }
        guard next.isComplete else { return }
        for token in stopTokens where (0..<Int32(count)).contains(token) { logits[Int(token)] = row[Int(token)] }
    }
}
