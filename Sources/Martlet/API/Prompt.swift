public import Foundation

/// What a request asks the model to continue.
public enum Prompt: Sendable, Hashable, ExpressibleByStringInterpolation {
    /// Text, tokenized with the special tokens that the model puts around a text. It never turns into special tokens itself.
    case text(String)
    /// Token ids, taken as they are.
    case tokens([Int])
    /// A conversation in the words of a chat template: token ids, with an image token in each place of an image, and the files of
    /// these images in order. What follows is an answer, unless it continues a message that is there.
    case chat(tokens: [Int], images: [Data] = [], isContinued: Bool = false)

    public init(stringLiteral value: String) {
        self = .text(value)
    }

    /// What follows belongs to the prompt's text. An answer is a text of its own: where words begin with a space (SentencePiece)
    /// it loses that of its first.
    var continuesText: Bool { if case .chat(_, _, let isContinued) = self { isContinued } else { true } }
}
