/// A token's number. Ids are never negative.
package typealias TokenID = Int32

/// Turns text into tokens and back, in the stages of Hugging Face's `tokenizer.json`: added tokens are found, the text between
/// them is normalized and cut into words, a model turns words into tokens, and special tokens are put around the result.
package struct Tokenizer: Sendable {
    enum Model: Sendable {
        case bpe(BPE)
        case unigram(Unigram)
    }

    /// Tokens as the file spells them, by id.
    let spelled: ByteStringTable
    let addedTokens: AddedTokens
    let normalizer: Normalizer?
    let preTokenizer: PreTokenizer?
    let model: Model
    let postProcessor: PostProcessor
    let decoder: Decoder
    package var specialTokens: SpecialTokens

    /// The tokens that have a role. Any may be absent.
    package struct SpecialTokens: Sendable, Equatable {
        package var beginningOfSequence: TokenID?
        package var endOfSequence: TokenID?
        package var endOfTurn: TokenID?
        package var unknown: TokenID?
        package var padding: TokenID?

        package init() {}
    }

    /// One more than the largest id. Some ids below may be unused: they decode to nothing.
    package var vocabularySize: Int { spelled.count }

    /// The token that the file spells this way: with `Ġ` for a space in a byte-level vocabulary, `▁` in a SentencePiece one.
    package func id(of token: String) -> TokenID? {
        spelled.find(token).map { TokenID($0) }
    }

    /// Whether every id stands for the same token in both.
    package func hasSameVocabulary(as other: Tokenizer) -> Bool {
        spelled.count == other.spelled.count && (0..<spelled.count).allSatisfy { spelled[$0] == other.spelled[$0] }
    }

    /// How the file spells a token; nil if there is no such id.
    package func spelling(of id: TokenID) -> String? {
        spelled.contains(id) ? String(decoding: spelled[Int(id)], as: UTF8.self) : nil
    }

    /// Whether the token is a control token that does not belong to the text.
    package func isSpecial(_ id: TokenID) -> Bool {
        addedTokens.isSpecial(id)
    }
}
