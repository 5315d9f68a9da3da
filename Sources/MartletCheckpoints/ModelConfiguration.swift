/// What a checkpoint says about its model, whatever the file format. The names are those of Hugging Face's `config.json`.
public struct ModelConfiguration: Sendable, Equatable {
    /// Hugging Face's `model_type`, such as `llama`, `qwen2`, `qwen3_moe`.
    public var architecture: String
    /// A name for people, where the file has one.
    public var name: String?

    /// Width of the residual stream.
    public var hiddenSize: Int
    /// Width of the feed-forward layers (of a dense layer in a mixture model).
    public var intermediateSize: Int
    public var layerCount: Int
    /// Query heads per layer.
    public var headCount: Int
    /// Key and value heads per layer; divides `headCount`.
    public var kvHeadCount: Int
    /// Width of a head; not always `hiddenSize / headCount`.
    public var headDim: Int
    public var vocabularySize: Int
    /// The longest context that the model was made for, in tokens.
    public var maxPositionEmbeddings: Int
    public var rmsNormEpsilon: Double
    public var rope: RopeConfiguration
    /// The output projection is the embedding table.
    public var tieWordEmbeddings: Bool
    /// Tokens that a token may attend to, itself included; nil for all.
    public var slidingWindow: Int?
    /// Layers that attend to all tokens in spite of `slidingWindow`.
    public var fullAttentionLayers: Set<Int> = []
    /// The q, k and v projections have biases.
    public var attentionInputBias: Bool
    /// The attention's output projection has a bias.
    public var attentionOutputBias: Bool
    /// The feed-forward layers' projections have biases.
    public var feedForwardBias = false
    /// The queries and keys of each head are normalized before rope.
    public var queryKeyNorm: Bool
    /// Set for a mixture of experts.
    public var experts: ExpertConfiguration?
    /// How a folder's weights are quantized; nil for plain numbers and for GGUF files.
    public var quantization: QuantizationConfiguration?

    /// Tokens that end a generation.
    public var eosTokenIDs: [Int]
    public var bosTokenID: Int?
    /// The Jinja source of the chat template.
    public var chatTemplate: String?
    /// That of the template for conversations with tools, where there is one of its own ("tool_use").
    public var toolChatTemplate: String?
    public var generationDefaults: GenerationDefaults

    /// A mixture-of-experts feed-forward layer.
    public struct ExpertConfiguration: Sendable, Equatable {
        public var count: Int
        /// Experts that a token is sent to.
        public var perToken: Int
        /// Width of one expert.
        public var intermediateSize: Int
        /// The chosen experts' weights are divided by their sum.
        public var normalizesWeights: Bool
        /// Width of the expert that every token goes through, where there is one.
        public var sharedIntermediateSize: Int?
        /// Layers that have a dense feed-forward network instead.
        public var denseLayers: Set<Int> = []
    }

    /// Sampling parameters that the model's makers recommend; nil where they say nothing.
    public struct GenerationDefaults: Sendable, Equatable {
        public var temperature: Double?
        public var topK: Int?
        public var topP: Double?
        public var minP: Double?
        public var repetitionPenalty: Double?

        public init(
            temperature: Double? = nil, topK: Int? = nil, topP: Double? = nil, minP: Double? = nil,
            repetitionPenalty: Double? = nil
        ) {
            self.temperature = temperature
            self.topK = topK
            self.topP = topP
            self.minP = minP
            self.repetitionPenalty = repetitionPenalty
        }
    }
}

extension ModelConfiguration {
    /// Tokens that a token of this layer may attend to, itself included; nil for all.
    package func slidingWindow(ofLayer layer: Int) -> Int? {
        fullAttentionLayers.contains(layer) ? nil : slidingWindow
    }

    /// A dense model from its sizes alone: for other formats' readers and for tests. Nothing is checked.
    package init(
        architecture: String, hiddenSize: Int, intermediateSize: Int, layerCount: Int, headCount: Int, kvHeadCount: Int,
        headDim: Int, vocabularySize: Int, maxPositionEmbeddings: Int, rmsNormEpsilon: Double, rope: RopeConfiguration,
        tieWordEmbeddings: Bool
    ) {
        self.architecture = architecture
        self.hiddenSize = hiddenSize
        self.intermediateSize = intermediateSize
        self.layerCount = layerCount
        self.headCount = headCount
        self.kvHeadCount = kvHeadCount
        self.headDim = headDim
        self.vocabularySize = vocabularySize
        self.maxPositionEmbeddings = maxPositionEmbeddings
        self.rmsNormEpsilon = rmsNormEpsilon
        self.rope = rope
        self.tieWordEmbeddings = tieWordEmbeddings
        attentionInputBias = false
        attentionOutputBias = false
        queryKeyNorm = false
        eosTokenIDs = []
        generationDefaults = GenerationDefaults()
    }
}
