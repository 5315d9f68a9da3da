/// How the hidden states of a text's tokens become one vector.
public enum EmbeddingPooling: String, Sendable, Hashable, CaseIterable {
    /// The mean of all tokens.
    case mean
    /// The last token, which has seen all others.
    case last
}

/// What `LLM.embed` makes of a text.
public struct Embedding: Sendable, Hashable {
    /// As wide as the model's hidden states.
    public var vector: [Float]
    /// Tokens of the text.
    public var promptTokens: Int
}
