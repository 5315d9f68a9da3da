/// The `tokenizer.ggml.*` metadata of a GGUF file, as it stands there.
package struct GGUFVocabulary: Sendable {
    /// `tokenizer.ggml.model`: "gpt2", "llama", "t5".
    package var model: String
    /// `tokenizer.ggml.pre`: the name of the pre-tokenizer.
    package var pre: String?
    /// The bytes of each token's string.
    package var tokens: [[UInt8]]
    /// By token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. Empty: all normal.
    package var tokenTypes: [Int32] = []
    package var scores: [Float] = []
    /// Each two tokens with a space between.
    package var merges: [[UInt8]] = []
    package var addBOS: Bool?
    package var addEOS: Bool?
    package var addSpacePrefix: Bool?
    package var removeExtraWhitespaces: Bool?
    /// SentencePiece's normalization rules.
    package var precompiledCharsMap: [UInt8] = []
    package var bos: Int?
    package var eos: Int?
    package var eot: Int?
    package var unknown: Int?
    package var padding: Int?

    package init(model: String, pre: String? = nil, tokens: [[UInt8]]) {
        self.model = model
        self.pre = pre
        self.tokens = tokens
    }
}
