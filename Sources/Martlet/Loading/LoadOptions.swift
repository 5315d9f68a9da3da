package import MartletGraph
import MartletImages

/// How a model is loaded: threads, arithmetic, and the sizes of everything that is allocated once.
public struct LoadOptions: Sendable {
    /// Arithmetic of linear layers whose weights are quantized.
    public enum Compute: String, Sendable, CaseIterable {
        /// 15-bit activations for models narrower than 2,048, 8-bit for larger ones and for those made for 8 bits (W8A8).
        case auto
        /// Activations are rounded to 8 bits per group of 32, as llama.cpp does: fastest.
        case int8
        /// Activations are rounded to 15 bits per group of 32: the greedy choices of float32 in 99.9 % of cases.
        case int16
        /// Exact float32 arithmetic on dequantized weights, for comparing with references.
        case f32
    }

    /// How keys and values are kept.
    public enum KVCacheType: String, Sendable, CaseIterable {
        /// Half the memory of float32, and 99.9 % of its greedy choices.
        case f16
        /// As large as f16 with a larger range and a shorter mantissa: faster where the CPU multiplies bf16.
        case bf16
        /// Symmetric 8-bit codes with a scale per position and head: half the memory of f16.
        case int8
        case f32
    }

    /// What the weights of a model that isn't quantized are rounded to, in groups of 32.
    public enum Quantization: String, Sendable, CaseIterable {
        case int8
        /// With the embedding table and the output projection in 8 bits.
        case int4
    }

    /// Workers of the CPU backend; nil for one per processor that this process may run on.
    public var threads: Int?
    /// Keeps each worker on a processor of its own: steadier where nothing else runs, slower where something does.
    public var pinsThreads = false
    public var compute: Compute = .auto
    /// Rounds weights when they are loaded; nil for the file's. Layers that are quantized in the file stay as they are.
    public var quantization: Quantization?
    /// Element type of the KV cache; nil for f16, or f32 where `compute` is f32.
    public var kvType: KVCacheType?
    /// Longest context of a request, prompt and answer together; nil for the model's own limit.
    public var contextLength: Int?
    /// Memory of the KV cache in bytes; nil for a quarter of the machine's memory, or less if the model can't use that.
    public var kvCacheMemory: Int?
    /// Tokens that the KV cache holds, in place of `kvCacheMemory`; nil leaves it to that.
    public var kvCacheTokens: Int?
    /// Tokens of all requests together that one step computes.
    public var maxBatchedTokens = 512
    /// Requests that run at the same time.
    public var maxRequests = 16
    /// Instruction set of the kernels ("avx512", "avx2", "neon", "portable"); nil for the best that the CPU has.
    public var instructionSet: String?
    /// Jinja source to use in the place of the checkpoint's chat template.
    public var chatTemplate: String?
    /// Variables of the chat template for every conversation, such as `enable_thinking`; those of a prompt come first.
    public var chatTemplateArguments: [String: TemplateValue] = [:]
    /// Pixels of an image, at most: each takes 3 bytes decoded, and more while it is. Phones take 12 or 48 million.
    public var maxImagePixels = ImageLimits.default.pixels
    /// Rows of one step whose logits are computed; nil for one per request and `extraSampledRows`.
    package var maxSampledRows: Int?
    /// For drafts, and for the log-probabilities of prompts. They take memory when they are used.
    static let extraSampledRows = 64
    /// Whether hidden states can be had beside logits, for embeddings.
    package var givesHiddenStates = false
    /// Graph rewrites; leave some out to measure what they bring.
    package var fusions = Fusion.all

    public init() {}
}
