/// Building a configuration from GGUF metadata. Keys: ggml's `docs/gguf.md`; `X.` stands for the architecture's name.
extension ModelConfiguration {
    package init(gguf: GGUF) throws(CheckpointError) {
        let keys = try ArchitectureKeys(gguf.metadata)
        let tensors = TensorTable(gguf)

        architecture = GGUFNames.modelType(keys.architecture)
        name = try gguf.metadata.string("general.name")
        hiddenSize = try keys.size("embedding_length", limit: Limits.width)
        layerCount = try keys.size("block_count", limit: Limits.layers)
        headCount = try keys.size("attention.head_count", limit: Limits.heads)
        kvHeadCount = try keys.optionalSize("attention.head_count_kv", limit: Limits.heads) ?? headCount
        guard headCount % kvHeadCount == 0 else {
            throw keys.failure(
                "attention.head_count_kv", "is \(kvHeadCount), which does not divide the \(headCount) query heads")
        }
        headDim = try Self.headDim(keys, hiddenSize: hiddenSize, headCount: headCount)
        maxPositionEmbeddings = try keys.size("context_length", limit: Limits.contextLength)
        rmsNormEpsilon = try keys.positiveNumber("attention.layer_norm_rms_epsilon", below: 1)
        rope = try RopeConfiguration(
            keys, headDim: headDim, contextLength: maxPositionEmbeddings, hasFactors: tensors.has(GGUFNames.ropeFactors)
        )
        slidingWindow = try keys.optionalSize(
            "attention.sliding_window", limit: Limits.contextLength, zeroMeansAbsent: true)
        experts = try ExpertConfiguration(keys)
        if let experts {
            intermediateSize =
                try keys.optionalSize("feed_forward_length", limit: Limits.width) ?? experts.intermediateSize
        } else {
            intermediateSize = try keys.size("feed_forward_length", limit: Limits.width)
        }

        vocabularySize = try Self.vocabularySize(keys, tensors, hiddenSize: hiddenSize)
        tieWordEmbeddings = !tensors.has("output.weight")
        attentionInputBias = tensors.has("blk.0.attn_q.bias")
        attentionOutputBias = tensors.has("blk.0.attn_output.bias")
        feedForwardBias = tensors.has("blk.0.ffn_up.bias")
        queryKeyNorm = tensors.has("blk.0.attn_q_norm.weight")

        bosTokenID = try Self.tokenID("bos", gguf.metadata, vocabularySize: vocabularySize)
        // Turn and message ends stop a generation as the text's end does.
        var ends: [Int] = []
        for kind in ["eos", "eot", "eom"] {
            if let id = try Self.tokenID(kind, gguf.metadata, vocabularySize: vocabularySize), !ends.contains(id) {
                ends.append(id)
            }
        }
        eosTokenIDs = ends
        chatTemplate = try gguf.metadata.string("tokenizer.chat_template")
        toolChatTemplate = try gguf.metadata.string("tokenizer.chat_template.tool_use")
        generationDefaults = try GenerationDefaults(gguf.metadata)
    }

    /// What a file may claim: far above any real model, and low enough that products of two stay far from overflow.
    enum Limits {
        /// The widest layers of published models are under 60,000.
        static let width = 1 << 20
        static let layers = 4096
        static let heads = 4096
        static let headDim = 4096
        /// Some models claim ten million tokens.
        static let contextLength = 1 << 30
        static let experts = 4096
        /// The largest vocabularies have some 300,000 tokens.
        static let vocabulary = 1 << 24
    }

    private static func headDim(
        _ keys: ArchitectureKeys, hiddenSize: Int, headCount: Int
    ) throws(CheckpointError) -> Int {
        guard let keyLength = try keys.optionalSize("attention.key_length", limit: Limits.headDim) else {
            guard hiddenSize % headCount == 0 else {
                throw keys.failure(
                    "attention.head_count", "is \(headCount), which does not divide the width of \(hiddenSize)")
            }
            let headDim = hiddenSize / headCount
            guard headDim <= Limits.headDim, headDim % 2 == 0 else {
                throw keys.failure("attention.head_count", "gives heads of \(headDim) dimensions")
            }
            return headDim
        }
        let valueLength = try keys.optionalSize("attention.value_length", limit: Limits.headDim) ?? keyLength
        guard valueLength == keyLength else {
            throw keys.failure(
                "attention.value_length", "is \(valueLength), but keys have \(keyLength): not supported")
        }
        guard keyLength % 2 == 0 else { throw keys.failure("attention.key_length", "is \(keyLength), an odd number") }
        return keyLength
    }

    /// The embedding's rows, which must agree with the token list and the stated size.
    private static func vocabularySize(
        _ keys: ArchitectureKeys, _ tensors: TensorTable, hiddenSize: Int
    ) throws(CheckpointError) -> Int {
        let embedding = try tensors.matrix("token_embd.weight", columns: hiddenSize)
        let size = embedding.shape[0]
        guard let tokens = try keys.metadata.array("tokenizer.ggml.tokens") else {
            throw keys.metadata.failure("tokenizer.ggml.tokens", "is missing")
        }
        guard tokens.count == size else {
            throw keys.metadata.failure(
                "tokenizer.ggml.tokens", "has \(tokens.count) entries, but the embedding has \(size) rows")
        }
        if let stated = try keys.integer("vocab_size"), stated != size {
            throw keys.failure("vocab_size", "is \(stated), but the embedding has \(size) rows")
        }
        if tensors.has("output.weight") {
            let output = try tensors.matrix("output.weight", columns: hiddenSize)
            guard output.shape[0] == size else {
                throw tensors.failure("output.weight", "has \(output.shape[0]) rows, but the embedding has \(size)")
            }
        }
        return size
    }

    private static func tokenID(
        _ kind: String, _ metadata: GGUF.Metadata, vocabularySize: Int
    ) throws(CheckpointError) -> Int? {
        let key = "tokenizer.ggml.\(kind)_token_id"
        guard let id = try metadata.tokenID(key) else { return nil }
        guard (0..<vocabularySize).contains(id) else {
            throw metadata.failure(key, "is \(id), outside the vocabulary of \(vocabularySize)")
        }
        return id
    }
}

extension ModelConfiguration.ExpertConfiguration {
    /// Nil for a dense model.
    fileprivate init?(_ keys: ArchitectureKeys) throws(CheckpointError) {
        let limits = ModelConfiguration.Limits.self
        guard let count = try keys.optionalSize("expert_count", limit: limits.experts, zeroMeansAbsent: true) else {
            return nil
        }
        self.count = count
        perToken = try keys.size("expert_used_count", limit: count)
        // Mixtral's experts are as wide as a dense layer would be.
        if let width = try keys.optionalSize("expert_feed_forward_length", limit: limits.width) {
            intermediateSize = width
        } else {
            intermediateSize = try keys.size("feed_forward_length", limit: limits.width)
        }
        normalizesWeights = try keys.boolean("expert_weights_norm") ?? true
        sharedIntermediateSize = try keys.optionalSize(
            "expert_shared_feed_forward_length", limit: limits.width, zeroMeansAbsent: true)
    }
}

extension ModelConfiguration.GenerationDefaults {
    fileprivate init(_ metadata: GGUF.Metadata) throws(CheckpointError) {
        temperature = try metadata.number("general.sampling.temp")
        topK = try metadata.integer("general.sampling.top_k")
        topP = try metadata.number("general.sampling.top_p")
        minP = try metadata.number("general.sampling.min_p")
        repetitionPenalty = try metadata.number("general.sampling.penalty_repeat")
    }
}

/// A file's tensors by GGUF name, for the checks between tensors and metadata.
private struct TensorTable {
    private let file: String
    private let tensors: [String: TensorDescriptor]

    init(_ gguf: GGUF) {
        file = gguf.file.path
        // Names are unique: the reader refuses duplicates.
        tensors = Dictionary(gguf.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    func has(_ name: String) -> Bool { tensors[name] != nil }

    func matrix(_ name: String, columns: Int) throws(CheckpointError) -> TensorDescriptor {
        guard let tensor = tensors[name] else { throw failure(name, "is missing") }
        guard tensor.shape.count == 2, tensor.columns == columns else {
            throw failure(name, "has shape \(tensor.shape), not [vocabulary, \(columns)]")
        }
        return tensor
    }

    func failure(_ name: String, _ reason: String) -> CheckpointError {
        CheckpointError(file: file, tensor: name, reason: reason)
    }
}
