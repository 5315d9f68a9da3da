/// Why a request ended. The first two are the values that OpenAI's API knows.
public enum FinishReason: String, Sendable, Hashable, Codable, CaseIterable {
    /// An end-of-sequence token, a stop token, or a stop string.
    case stop
    /// `maxTokens`, the model's context length, or the whole KV cache is used up.
    case length
    /// The caller cancelled it.
    case cancelled
    /// It could not go on; its stream throws the reason.
    case error
}
