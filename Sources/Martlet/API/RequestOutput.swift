/// A part of an answer. The parts of a stream joined are the answer; the last one has a finish reason.
public struct RequestOutput: Sendable, Hashable {
    public var id: RequestID
    /// Which of the request's answers this is a part of, from 0 on.
    public var index = 0
    /// New text. It may lag behind the tokens: whole characters only, and nothing that may still become a stop string.
    public var text: String
    /// New tokens. The one that ended the answer is among them, though its text is not.
    public var tokenIDs: [Int]
    /// For each of `tokenIDs`, when the parameters ask for it.
    public var logprobs: [TokenLogprobs]?
    /// For each token of the prompt but the first, when the parameters ask for it: in the first part, and only there.
    public var promptLogprobs: [TokenLogprobs]?
    /// The sum of the log-probabilities of the answer's tokens so far, when the parameters ask for them or for `bestOf`.
    public var cumulativeLogprob: Double?
    /// Not nil in the last part, and only there.
    public var finishReason: FinishReason?
    /// The stop string that ended the answer, if it was one.
    public var stopString: String?
    /// Of the request so far.
    public var usage: Usage
    /// Of the request so far.
    public var timings: RequestTimings
}

/// Tokens of a request.
public struct Usage: Sendable, Hashable, Codable {
    public var promptTokens: Int
    /// Of these, how many were found in the prefix cache.
    public var cachedPromptTokens = 0
    /// Tokens of the answer, its last one included; those behind a stop string don't count.
    public var generatedTokens: Int

    public var totalTokens: Int { promptTokens + generatedTokens }

    /// Of several requests together.
    package static func sum(_ usages: [Usage]) -> Usage {
        Usage(
            promptTokens: usages.reduce(0) { $0 + $1.promptTokens },
            cachedPromptTokens: usages.reduce(0) { $0 + $1.cachedPromptTokens },
            generatedTokens: usages.reduce(0) { $0 + $1.generatedTokens })
    }
}

/// How likely the model held a token, as natural logarithms, before temperature, penalties, and bias.
public struct TokenLogprobs: Sendable, Hashable {
    public struct Alternative: Sendable, Hashable {
        public var tokenID: Int
        public var logprob: Float
    }

    public var tokenID: Int
    public var logprob: Float
    /// The most likely tokens at this place, best first.
    public var top: [Alternative]
}

/// When things happened to a request, counted from when it was asked for.
public struct RequestTimings: Sendable, Hashable {
    /// Until its first token was part of a step.
    public var queued: Duration = .zero
    /// Until its first token was drawn (TTFT).
    public var firstToken: Duration = .zero
    /// Until the last token so far was drawn.
    public var lastToken: Duration = .zero
}
