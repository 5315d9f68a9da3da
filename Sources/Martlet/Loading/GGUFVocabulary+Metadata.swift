import MartletCheckpoints
import MartletTokenizers

extension GGUFVocabulary {
    /// The tokenizer metadata of a GGUF file.
    ///
    /// - Throws: `CheckpointError` for keys that are missing or of the wrong type.
    init(_ metadata: GGUF.Metadata) throws(CheckpointError) {
        func key(_ name: String) -> String { "tokenizer.ggml." + name }
        let tokens = try metadata.required(metadata.strings(key("tokens")), key("tokens"))
        self.init(
            model: try metadata.required(metadata.string(key("model")), key("model")),
            pre: try metadata.string(key("pre")), tokens: tokens.map(\.bytes))
        tokenTypes = try metadata.integers(key("token_type"))?.map { Int32(truncatingIfNeeded: $0) } ?? []
        scores = try metadata.numbers(key("scores"))?.map(Float.init) ?? []
        merges = try metadata.strings(key("merges"))?.map(\.bytes) ?? []
        addBOS = try metadata.boolean(key("add_bos_token"))
        addEOS = try metadata.boolean(key("add_eos_token"))
        addSpacePrefix = try metadata.boolean(key("add_space_prefix"))
        removeExtraWhitespaces = try metadata.boolean(key("remove_extra_whitespaces"))
        precompiledCharsMap =
            try metadata.integers(key("precompiled_charsmap"))?.map { UInt8(truncatingIfNeeded: $0) } ?? []
        bos = try metadata.tokenID(key("bos_token_id"))
        eos = try metadata.tokenID(key("eos_token_id"))
        eot = try metadata.tokenID(key("eot_token_id"))
        unknown = try metadata.tokenID(key("unknown_token_id"))
        padding = try metadata.tokenID(key("padding_token_id"))
    }
}
