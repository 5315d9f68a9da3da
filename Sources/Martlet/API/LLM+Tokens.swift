import MartletCheckpoints
import MartletTokenizers

extension LLM {
    /// One more than the largest token id.
    public var vocabularySize: Int { configuration.vocabularySize }

    /// The tokens of a text, with the special tokens that the model puts around a text. It never turns into special tokens
    /// itself.
    public func tokenize(_ text: String, addSpecialTokens: Bool = true) -> [Int] {
        tokenizer.encode(text, addSpecialTokens: addSpecialTokens).map(Int.init)
    }

    /// The text of tokens. Ids that the model does not know have none.
    public func detokenize(_ tokens: [Int], skipSpecialTokens: Bool = true) -> String {
        tokenizer.decode(tokens.lazy.compactMap { Int32(exactly: $0) }, skipSpecialTokens: skipSpecialTokens)
    }

    /// The bytes that a token adds to a text: half a character, perhaps. Empty for an id outside of the vocabulary.
    package func tokenBytes(_ token: Int) -> [UInt8] { Int32(exactly: token).map(tokenizer.tokenBytes) ?? [] }

    /// Whether a token stands for no text, as the end of a sequence does.
    package func isSpecial(_ token: Int) -> Bool { Int32(exactly: token).map(tokenizer.isSpecial) ?? false }
}
