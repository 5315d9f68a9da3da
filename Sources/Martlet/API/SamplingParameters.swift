public import MartletGrammar

/// How the tokens of an answer are chosen, and when it ends. The names and meanings are those of vLLM and OpenAI's API.
///
/// The order in which they act: `structure` and `allowedTokenIDs`; logit bias; `badWords` and `minTokens`; penalties; temperature; min-p;
/// top-k; top-p; typical-p; XTC; the draw. At temperature 0 what comes after it does nothing.
public struct SamplingParameters: Sendable, Hashable {
    /// How many answers to give. Their parts come mixed in one stream, each with the index of its answer; answer i has the
    /// text that a request of its own with `seed` + i would have.
    public var n = 1
    /// Generates this many answers and gives the `n` whose tokens are most likely together, best first; their text comes
    /// when all are done. Nil stands for `n`.
    public var bestOf: Int?
    /// Answers that are generated, of which `n` are given.
    package var drawnCount: Int { bestOf ?? n }

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
    /// Chooses among the tokens whose surprise is nearest to the expected one and whose probabilities sum up to this much
    /// (locally typical sampling, Meister et al. 2023); 1 stands for all.
    public var typicalP: Float = 1
    /// How often XTC ("exclude top choices") acts: of the tokens that reach `xtcThreshold` it leaves only the least likely
    /// one; 0 stands for never.
    public var xtcProbability: Float = 0
    /// The probability from which on a token is a top choice for XTC.
    public var xtcThreshold: Float = 0.1

    /// Divides positive logits of tokens that the prompt or the answer has, and multiplies negative ones; 1 does nothing.
    public var repetitionPenalty: Float = 1
    /// Subtracted from the logits of tokens that the answer has.
    public var presencePenalty: Float = 0
    /// Subtracted from a token's logit for each time that the answer has it.
    public var frequencyPenalty: Float = 0
    /// Added to the logits of these tokens, -100 to 100.
    public var logitBias: [Int: Float] = [:]
    /// The only tokens that may be chosen; nil stands for all.
    public var allowedTokenIDs: [Int]?
    /// Words that the answer must not have: the token that would complete one, in its spelling with or without a space
    /// before it, can't be chosen. The prompt's tokens don't count.
    public var badWords: [String] = []

    /// The form that the answer has to have. It ends where the form is complete; where `maxTokens` comes first it is cut off.
    public var structure: OutputStructure?

    /// Makes random choices repeatable: the same prompt, parameters and seed give the same answer, whatever else the
    /// engine does at the time. Nil draws a new seed for each request.
    public var seed: UInt64?

    /// The answer ends before the first of these strings.
    public var stop: [String] = []
    /// The answer ends with the first of these tokens.
    public var stopTokenIDs: [Int] = []
    /// Leaves what ended the answer in its text: the stop string, or what a stop token spells.
    public var includeStopString = false
    /// Leaves control tokens out of the answer's text.
    public var skipSpecialTokens = true
    /// Goes on after the model's end-of-sequence tokens.
    public var ignoreEOS = false

    /// Reports the chosen tokens' log-probabilities, and those of this many most likely tokens beside each; nil reports
    /// none. They are the model's own, before everything above.
    public var logprobs: Int?
    /// Reports the log-probabilities of the prompt's tokens, each behind those before it, and those of this many most
    /// likely tokens at its place; nil reports none. With the first part of the first answer.
    public var promptLogprobs: Int?

    public init() {}
}
