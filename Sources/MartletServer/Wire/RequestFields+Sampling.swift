import Martlet
import MartletJinja

extension RequestFields {
    /// The fields that chat and text completions have in common, over what the model's makers recommend. Names and meanings
    /// are those of OpenAI's API, and beyond it vLLM's.
    ///
    /// - Throws: 400, naming the field, for types that are wrong and values out of range.
    mutating func samplingParameters(
        _ defaults: SamplingParameters, _ limits: ServerLimits
    ) throws(APIError) -> SamplingParameters {
        var parameters = defaults
        parameters.maxTokens = try integer("max_tokens")
        var maxTokensName = "max_tokens"
        if let value = try integer("max_completion_tokens") {
            parameters.maxTokens = value
            maxTokensName = "max_completion_tokens"
        }
        if let value = try integer("min_tokens") { parameters.minTokens = value }
        if let value = try number("temperature") { parameters.temperature = value }
        if let value = try integer("top_k") { parameters.topK = value }
        if let value = try number("top_p") { parameters.topP = value }
        if let value = try number("min_p") { parameters.minP = value }
        if let value = try number("repetition_penalty") { parameters.repetitionPenalty = value }
        if let value = try number("presence_penalty") { parameters.presencePenalty = value }
        if let value = try number("frequency_penalty") { parameters.frequencyPenalty = value }
        if let value = try integer("seed") { parameters.seed = UInt64(bitPattern: Int64(value)) }
        if let value = try number("typical_p") { parameters.typicalP = value }
        if let value = try number("xtc_probability") { parameters.xtcProbability = value }
        if let value = try number("xtc_threshold") { parameters.xtcThreshold = value }
        if let value = try integer("n") { parameters.n = value }
        if let value = try integer("best_of"), value != parameters.n { parameters.bestOf = value }
        if let value = try integer("prompt_logprobs") { parameters.promptLogprobs = value }
        if let value = try strings("bad_words") { parameters.badWords = value }
        if let value = try integers("allowed_token_ids") { parameters.allowedTokenIDs = value }
        if let value = try bool("skip_special_tokens") { parameters.skipSpecialTokens = value }
        if let value = try strings("stop") { parameters.stop = value }
        if let value = try integers("stop_token_ids") { parameters.stopTokenIDs = value }
        if let value = try bool("include_stop_str_in_output") { parameters.includeStopString = value }
        if let value = try bool("ignore_eos") { parameters.ignoreEOS = value }
        if let value = try logitBias() { parameters.logitBias = value }
        try parameters.check(limits)
        do {
            try parameters.validate()
        } catch {
            throw APIError(error, prompt: "prompt").renamed(FieldNames(fields: ["max_tokens": maxTokensName]))
        }
        return parameters
    }

    /// `{"token id": bias}`.
    private mutating func logitBias() throws(APIError) -> [Int: Float]? {
        guard let object = try object("logit_bias") else { return nil }
        var biases: [Int: Float] = [:]
        for (key, value) in zip(object.keys, object.values) {
            let name = key.asString ?? ""
            guard name.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let token = Int(name) else {
                throw .value("logit_bias", "'\(name)' is no token id")
            }
            biases[token] = try Self.number(value, "logit_bias")
        }
        return biases
    }

    /// On what terms the request is served. vLLM serves low numbers of `priority` first.
    mutating func requestOptions() throws(APIError) -> RequestOptions {
        var options = RequestOptions()
        options.turn = SharedTurn()
        if let value = try integer("priority") {
            guard abs(value.clamped) <= Self.largestPriority else {
                throw .value("priority", "must be between -\(Self.largestPriority) and \(Self.largestPriority)")
            }
            options.priority = -value
        }
        if let value = try string("cache_salt") {
            guard (1...Self.longestSalt).contains(value.utf8.count) else {
                throw .value("cache_salt", "must have 1 to \(Self.longestSalt) bytes")
            }
            options.cacheSalt = value
        }
        return options
    }

    private static var largestPriority: Int { 1_000_000 }
    private static var longestSalt: Int { 1024 }

    /// Fields that Martlet knows and does not do (yet). Values that ask for nothing are fine.
    mutating func refuseUnsupported() throws(APIError) {
        // Where they mean something they were taken before.
        for name in ["tools", "functions", "logit_processors", "logits_processors", "mm_processor_kwargs"] {
            if let value = take(name), value.array?.isEmpty != true { throw .unsupported(name) }
        }
        for name in ["tool_choice", "function_call"] {
            if let value = take(name), !["none", "auto"].contains(value.asString) { throw .unsupported(name) }
        }
        for name in [
            "guided_whitespace_pattern", "audio", "prediction", "web_search_options", "truncate_prompt_tokens",
            "chat_template", "documents", "suffix",
            "reasoning_effort", "verbosity",
        ] where take(name) != nil {
            throw .unsupported(name)
        }
        for name in ["use_beam_search", "echo", "store"] {
            if try bool(name) == true { throw .unsupported(name) }
        }
        if let modalities = try strings("modalities"), modalities != ["text"] {
            throw .unsupported("modalities", "is supported for [\"text\"] only")
        }
        // Labels for the caller's own books: they change nothing about an answer.
        for name in ["user", "metadata", "service_tier", "safety_identifier", "prompt_cache_key"] { _ = take(name) }
    }
}

extension Int {
    /// `abs` of the smallest number is none.
    fileprivate var clamped: Int { Swift.max(self, -Int.max) }
}

extension SamplingParameters {
    /// What the server allows less of than the engine.
    fileprivate func check(_ limits: ServerLimits) throws(APIError) {
        for (name, value) in [("n", n), ("best_of", bestOf ?? 1)] where value > limits.choices {
            throw .value(name, "must be at most \(limits.choices), but is \(value)")
        }
        if let promptLogprobs, promptLogprobs > limits.logprobs {
            throw .value("prompt_logprobs", "must be at most \(limits.logprobs), but is \(promptLogprobs)")
        }
        guard stop.count <= limits.stopStrings else {
            throw .value("stop", "may have \(limits.stopStrings) strings at most")
        }
    }
}
