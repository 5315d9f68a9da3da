/// How the tokens of an answer are chosen, and when it ends. The names and meanings are those of vLLM and OpenAI's API.
///
/// The order in which they act: logit bias, `minTokens` and penalties; temperature; min-p; top-k; top-p; the draw.
public struct SamplingParameters: Sendable, Hashable {
    /// Tokens to generate at most; nil stands for what the model's context has room for.
    public var maxTokens: Int?
    /// End-of-sequence and stop tokens can't be chosen, and stop strings don't count, before this many tokens.
    public var minTokens = 0

    /// Divides the logits. 0 always takes the most likely token, and of equals the one with the lowest id.
    public var temperature: Float = 1
    /// Chooses among this many most likely tokens; 0 or -1 stands for all.
    public var topK = 0
    /// Chooses among the fewest most likely tokens whose probabilities sum up to this much; 1 stands for all.
    public var topP: Float = 1
    /// Leaves out tokens that are less likely than this fraction of the most likely one's probability; 0 leaves out none.
    public var minP: Float = 0

    /// Divides positive logits of tokens that the prompt or the answer has, and multiplies negative ones; 1 does nothing.
    public var repetitionPenalty: Float = 1
    /// Subtracted from the logits of tokens that the answer has.
    public var presencePenalty: Float = 0
    /// Subtracted from a token's logit for each time that the answer has it.
    public var frequencyPenalty: Float = 0
    /// Added to the logits of these tokens, -100 to 100.
    public var logitBias: [Int: Float] = [:]

    /// Makes random choices repeatable: the same prompt, parameters and seed give the same answer, whatever else the
    /// engine does at the time. Nil draws a new seed for each request.
    public var seed: UInt64?

    /// The answer ends before the first of these strings.
    public var stop: [String] = []
    /// The answer ends with the first of these tokens.
    public var stopTokenIDs: [Int] = []
    /// Leaves the stop string that ended the answer in its text.
    public var includeStopString = false
    /// Goes on after the model's end-of-sequence tokens.
    public var ignoreEOS = false

    /// Reports the chosen tokens' log-probabilities, and those of this many most likely tokens beside each; nil reports
    /// none. They are the model's own, before everything above.
    public var logprobs: Int?

    public init() {}
}
