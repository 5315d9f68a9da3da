import Martlet

/// What one request may ask for. Requests are hostile until they are checked, and none may cost the server more than this;
/// whoever knows better for a machine and its users says so.
public struct ServerLimits: Sendable, Hashable {
    // MARK: HTTP

    /// Bytes of a body. An image takes a third more than its file there.
    public var bodyBytes = 16 << 20
    /// Bytes of all headers together; half of that for one.
    public var headerBytes = 32 << 10
    public var headerCount = 100
    /// Arrays and objects inside each other. 128 is what the reader's stack allows.
    public var jsonDepth = 128
    /// Values in a body. Without it, 16 MB of them take a gigabyte.
    public var jsonValues = 1_000_000

    // MARK: Completions

    /// Answers, of all prompts together: `n` and `best_of`. OpenAI's API has this limit.
    public var choices = SamplingParameters.maximumChoices
    /// Prompts of `/v1/completions`.
    public var prompts = 64
    /// Messages of a conversation: templates walk all of them.
    public var messages = 10_000
    /// Alternatives of a token: `logprobs`, `top_logprobs`, `prompt_logprobs`. OpenAI's API has this limit.
    public var logprobs = SamplingParameters.maximumLogprobs
    /// Stop strings: every byte of an answer is compared with each.
    public var stopStrings = SamplingParameters.maximumStopStrings
    /// Functions. OpenAI's API has this limit.
    public var tools = 128
    /// Bytes of a JSON Schema, a regular expression, all choices, or a grammar.
    public var structureBytes = 1 << 20
    /// Images of one request: a small file can have many pixels.
    public var images = 16

    // MARK: Embeddings

    /// Texts of one request. OpenAI's API has this limit.
    public var embeddingInputs = 2048

    public init() {}
}
