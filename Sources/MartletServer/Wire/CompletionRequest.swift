package import Martlet
package import MartletJinja

/// A request for chat or text completions, checked and tokenized: what `/v1/chat/completions` and `/v1/completions` have in
/// common.
package struct CompletionRequest: Sendable {
    package enum Kind: Sendable, Hashable {
        case chat
        case text

        /// The field that holds the prompt.
        var promptField: String { self == .chat ? "messages" : "prompt" }
    }

    package let kind: Kind
    /// One for each choice of the answer.
    package let prompts: [[Int]]
    package let parameters: SamplingParameters
    package let streams: Bool
    package let includesUsage: Bool
    /// Fields that nobody knows. They are not used, and the caller is told.
    package let unknownFields: [String]

    /// What `max_tokens` is for text completions where it is not given, as in OpenAI's API. Chats end by themselves.
    private static let defaultTextTokens = 16
    /// Most prompts of one request.
    static let maximumPrompts = 64

    /// - Throws: `APIError`, for what the caller did wrong.
    package init(_ kind: Kind, _ document: Value, for model: ServedModel) throws(APIError) {
        var fields = try RequestFields(document)
        if let name = try fields.string("model"), !model.names.contains(name) { throw .modelNotFound(name) }
        self.kind = kind
        switch kind {
        case .chat: prompts = [try fields.chatPrompt(model.llm)]
        case .text: prompts = try fields.textPrompts(model.llm)
        }
        let logprobs = try kind == .chat ? fields.chatLogprobs() : fields.integer("logprobs")
        streams = try fields.bool("stream") ?? false
        includesUsage = try fields.includesUsage(streams: streams)
        var parameters = try fields.samplingParameters(model.llm.defaultParameters)
        parameters.logprobs = logprobs
        if kind == .text, parameters.maxTokens == nil {
            parameters.maxTokens = max(Self.defaultTextTokens, parameters.minTokens)
        }
        if let logprobs, !(0...SamplingParameters.maximumLogprobs).contains(logprobs) {
            throw .value(
                kind == .chat ? "top_logprobs" : "logprobs",
                "must be between 0 and \(SamplingParameters.maximumLogprobs), but is \(logprobs)")
        }
        self.parameters = parameters
        try fields.refuseUnsupported()
        unknownFields = fields.remaining
        let limit = model.llm.contextLength
        for prompt in prompts where parameters.maxTokens ?? 1 > limit - prompt.count {
            throw .contextLengthExceeded(
                prompt: prompt.count, completion: parameters.maxTokens, limit: limit, parameter: kind.promptField)
        }
    }
}

/// A model under the names that requests may call it by.
package struct ServedModel: Sendable {
    package let llm: LLM
    /// The first is the one that answers carry.
    package let names: [String]
    /// When the server took it up, in Unix seconds.
    package let created: Int

    package init(_ llm: LLM, names: [String], created: Int) {
        precondition(!names.isEmpty)
        self.llm = llm
        self.names = names
        self.created = created
    }

    package var name: String { names[0] }
}

extension RequestFields {
    fileprivate mutating func includesUsage(streams: Bool) throws(APIError) -> Bool {
        guard let value = take("stream_options") else { return false }
        guard streams else { throw .value("stream_options", "is only allowed when 'stream' is true") }
        var options = try RequestFields(value)
        let includesUsage = try options.bool("include_usage") ?? false
        // Padding against observers of packet sizes: there are none on a loopback address.
        _ = try options.bool("include_obfuscation")
        if let name = options.remaining.first { throw .unsupported("stream_options.\(name)") }
        return includesUsage
    }

    /// `logprobs: true` and `top_logprobs: k`.
    fileprivate mutating func chatLogprobs() throws(APIError) -> Int? {
        let isWanted = try bool("logprobs") ?? false
        guard let count = try integer("top_logprobs") else { return isWanted ? 0 : nil }
        guard isWanted || count == 0 else { throw .value("top_logprobs", "needs 'logprobs' to be true") }
        return isWanted ? count : nil
    }

    /// A string, a list of strings, a list of tokens, or a list of lists of tokens.
    fileprivate mutating func textPrompts(_ llm: LLM) throws(APIError) -> [[Int]] {
        guard let value = take("prompt") else {
            throw APIError(
                400, "Missing required parameter: 'prompt'.", parameter: "prompt", code: "missing_required_parameter")
        }
        if let text = value.asString { return [llm.tokenize(text)] }
        guard let elements = value.array else {
            throw .type("prompt", expected: "a string, an array of strings, or an array of tokens", got: value)
        }
        guard let first = elements.first else { throw .value("prompt", "must not be empty") }
        if first.integer != nil { return [try Self.integers(elements, "prompt")] }
        guard elements.count <= CompletionRequest.maximumPrompts else {
            throw .value("prompt", "may have \(CompletionRequest.maximumPrompts) prompts at most")
        }
        var prompts: [[Int]] = []
        for (index, element) in elements.enumerated() {
            if let text = element.asString {
                prompts.append(llm.tokenize(text))
            } else if let tokens = element.array {
                prompts.append(try Self.integers(tokens, "prompt[\(index)]"))
            } else {
                throw .type("prompt[\(index)]", expected: "a string or an array of tokens", got: element)
            }
        }
        return prompts
    }
}
