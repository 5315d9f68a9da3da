import MartletJSON

/// Building a configuration from `config.json` and `generation_config.json`. Keys and defaults: the configuration classes
/// of `transformers`.
extension ModelConfiguration {
    package init(folder: ModelFolder) throws(CheckpointError) {
        let root = folder.settings
        // A model that sees describes its language model in an object of its own.
        let nested = try root.section("text_config")
        let text = nested ?? root
        architecture = try root.required(root.string("model_type"), "model_type")
        let textArchitecture = try text.string("model_type") ?? architecture
        let sizes = SizeReader(
            settings: text, defaults: nested == nil ? [:] : SizeReader.defaults[textArchitecture] ?? [:])

        hiddenSize = try sizes.size("hidden_size", limit: Limits.width)
        intermediateSize = try sizes.size("intermediate_size", limit: Limits.width)
        layerCount = try sizes.size("num_hidden_layers", limit: Limits.layers)
        headCount = try sizes.size("num_attention_heads", limit: Limits.heads)
        kvHeadCount = try sizes.optionalSize("num_key_value_heads", limit: Limits.heads) ?? headCount
        guard headCount % kvHeadCount == 0 else {
            throw text.failure(
                "num_key_value_heads", "is \(kvHeadCount), which does not divide the \(headCount) query heads")
        }
        headDim = try Self.headDim(text, textArchitecture, hiddenSize: hiddenSize, headCount: headCount)
        vocabularySize = try sizes.size("vocab_size", limit: Limits.vocabulary)
        let positions = try sizes.size("max_position_embeddings", limit: Limits.contextLength)
        rmsNormEpsilon = try text.optionalPositiveNumber("rms_norm_eps", below: 1) ?? 1e-6
        rope = try RopeConfiguration(text, headDim: headDim, maxPositionEmbeddings: positions)
        maxPositionEmbeddings = min(rope.stretched(positions), Limits.contextLength)
        if let activation = try text.string("hidden_act"), activation != "silu", activation != "swish" {
            throw text.failure("hidden_act", "is '\(activation)', expected 'silu'")
        }
        let tieKey = "tie_word_embeddings"
        tieWordEmbeddings = try (text.has(tieKey) ? text : root).boolean(tieKey) ?? false
        attentionInputBias = try text.boolean("attention_bias") ?? false
        attentionOutputBias = attentionInputBias
        feedForwardBias = try text.boolean("mlp_bias") ?? false
        queryKeyNorm = false
        eosTokenIDs = []
        generationDefaults = try GenerationDefaults(folder.generation)

        try readSlidingWindow(text, textArchitecture)
        experts = try ExpertConfiguration(text, layerCount: layerCount)
        quantization = try QuantizationConfiguration(folder, text)
        try readTokens(folder, text, root)
        (chatTemplate, toolChatTemplate) = try folder.chatTemplates()
    }

    private static func headDim(
        _ text: SettingsFile, _ architecture: String, hiddenSize: Int, headCount: Int
    ) throws(CheckpointError) -> Int {
        // Qwen3's default is a number, the others' the width's share.
        let stated = try text.optionalSize("head_dim", limit: Limits.headDim)
        guard let headDim = stated ?? (architecture == "qwen3" ? 128 : nil) else {
            guard hiddenSize % headCount == 0 else {
                throw text.failure(
                    "num_attention_heads", "is \(headCount), which does not divide the width of \(hiddenSize)")
            }
            let headDim = hiddenSize / headCount
            guard headDim % 2 == 0, headDim <= Limits.headDim else {
                throw text.failure("num_attention_heads", "is \(headCount), which gives heads of \(headDim) dimensions")
            }
            return headDim
        }
        guard headDim % 2 == 0 else { throw text.failure("head_dim", "is \(headDim), an odd number") }
        return headDim
    }

    /// Which layers have a sliding window. Mistral: all. Qwen: if `use_sliding_window` says so, those from
    /// `max_window_layers` on, or those that `layer_types` names. Llama: none, whatever its file says.
    private mutating func readSlidingWindow(_ text: SettingsFile, _ architecture: String) throws(CheckpointError) {
        let isMistral = architecture == "mistral" || architecture == "ministral"
        // A window that is null is none; one that is absent is 4096 tokens.
        let stated =
            text.isAbsent("sliding_window")
            ? 4096 : try text.optionalSize("sliding_window", limit: Limits.contextLength)
        if isMistral {
            slidingWindow = stated
        } else if architecture.hasPrefix("qwen"), try text.boolean("use_sliding_window") ?? false {
            slidingWindow = stated
        }
        guard slidingWindow != nil else { return }
        if let types = try text.strings("layer_types") {
            guard types.count == layerCount else {
                throw text.failure("layer_types", "has \(types.count) entries for \(layerCount) layers")
            }
            for (layer, type) in types.enumerated() where type != "sliding_attention" {
                guard type == "full_attention" else {
                    throw text.failure("layer_types", "has '\(type)', which is not supported")
                }
                fullAttentionLayers.insert(layer)
            }
        } else if !isMistral, !architecture.hasSuffix("_moe") {
            let first = try text.integer("max_window_layers") ?? 28
            fullAttentionLayers = Set((0..<layerCount).prefix(max(first, 0)))
        }
    }

    /// What `generation_config.json` says goes before what `config.json` says.
    private mutating func readTokens(
        _ folder: ModelFolder, _ text: SettingsFile, _ root: SettingsFile
    ) throws(CheckpointError) {
        let files = [folder.generation, root, text].compactMap { $0 }
        for file in files where eosTokenIDs.isEmpty { eosTokenIDs = try tokenIDs("eos_token_id", file) }
        for file in files where bosTokenID == nil { bosTokenID = try tokenIDs("bos_token_id", file).first }
    }

    /// One number or a list of them; empty if absent. -1 is how some writers say that there is none.
    private func tokenIDs(_ key: String, _ file: SettingsFile) throws(CheckpointError) -> [Int] {
        guard file.has(key) else { return [] }
        let isList = file.json[key].array != nil
        let ids =
            isList
            ? try file.required(file.integers(key), key) : [try file.required(file.integer(key), key)]
        return try ids.filter { $0 != -1 }.map { (id) throws(CheckpointError) in
            guard (0..<vocabularySize).contains(id) else {
                throw file.failure(key, "is \(id), outside the vocabulary of \(vocabularySize)")
            }
            return id
        }
    }
}

extension ModelConfiguration.ExpertConfiguration {
    /// Nil for a dense model.
    fileprivate init?(_ text: SettingsFile, layerCount: Int) throws(CheckpointError) {
        let limits = ModelConfiguration.Limits.self
        let key = text.has("num_experts") ? "num_experts" : "num_local_experts"
        guard text.has(key), try text.integer(key) != 0 else { return nil }
        count = try text.size(key, limit: limits.experts)
        perToken = try text.size("num_experts_per_tok", limit: count)
        intermediateSize = try text.size("moe_intermediate_size", limit: limits.width)
        normalizesWeights = try text.boolean("norm_topk_prob") ?? false
        sharedIntermediateSize = try text.optionalSize("shared_expert_intermediate_size", limit: limits.width)
        let step = try text.optionalSize("decoder_sparse_step", limit: limits.layers) ?? 1
        let dense = Set(try text.integers("mlp_only_layers") ?? [])
        denseLayers = Set((0..<layerCount).filter { dense.contains($0) || ($0 + 1) % step != 0 })
    }
}

extension ModelConfiguration.GenerationDefaults {
    fileprivate init(_ file: SettingsFile?) throws(CheckpointError) {
        guard let file else { return }
        // Without sampling the other parameters mean nothing.
        guard try file.boolean("do_sample") ?? true else {
            temperature = 0
            repetitionPenalty = try file.number("repetition_penalty")
            return
        }
        temperature = try file.number("temperature")
        topK = try file.integer("top_k")
        topP = try file.number("top_p")
        minP = try file.number("min_p")
        repetitionPenalty = try file.number("repetition_penalty")
    }
}

/// Sizes with the defaults of `transformers`. They stand in only where a model that sees leaves out most of what its
/// language model is, as LLaVA-1.5 does; a model of its own says its sizes.
private struct SizeReader {
    let settings: SettingsFile
    let defaults: [String: Int]

    func size(_ key: String, limit: Int) throws(CheckpointError) -> Int {
        try settings.required(optionalSize(key, limit: limit), key)
    }

    func optionalSize(_ key: String, limit: Int) throws(CheckpointError) -> Int? {
        try settings.optionalSize(key, limit: limit) ?? defaults[key]
    }

    static let defaults: [String: [String: Int]] = [
        "llama": [
            "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
            "num_attention_heads": 32, "max_position_embeddings": 2048,
        ],
        "mistral": [
            "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 131_072,
        ],
        "qwen2": [
            "vocab_size": 151_936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 32768,
        ],
    ]
}
