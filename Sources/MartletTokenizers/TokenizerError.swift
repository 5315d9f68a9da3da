/// What is wrong with a tokenizer's files.
package struct TokenizerError: Error, Equatable, CustomStringConvertible {
    package enum Code: Sendable {
        /// The file breaks its own format: bad JSON, a merge of unknown tokens, an id out of range.
        case malformed
        /// The file is well formed but asks for something that Martlet does not implement; the message names it.
        case unsupported
    }

    package let code: Code
    package let message: String

    package static func malformed(_ message: String) -> TokenizerError {
        TokenizerError(code: .malformed, message: message)
    }

    package static func unsupported(_ message: String) -> TokenizerError {
        TokenizerError(code: .unsupported, message: message)
    }

    package var description: String {
        switch code {
        case .malformed: "malformed tokenizer: \(message)"
        case .unsupported: "unsupported tokenizer: \(message)"
        }
    }
}
