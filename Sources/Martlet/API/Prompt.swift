public import Foundation

/// What a request asks the model to continue.
public enum Prompt: Sendable, Hashable, ExpressibleByStringInterpolation {
    /// Text, tokenized with the special tokens that the model puts around a text. It never turns into special tokens itself.
    case text(String)
    /// Token ids, taken as they are.
    case tokens([Int])
    /// Token ids, with an image token in each place of an image, and the files of these images in order.
    case multimodal(tokens: [Int], images: [Data])

    public init(stringLiteral value: String) {
        self = .text(value)
    }
}
