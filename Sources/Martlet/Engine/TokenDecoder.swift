package import MartletTokenizers

/// Turns a request's tokens into text, one after the other.
package protocol TokenDecoder: Sendable {
    /// The text that is certain once this token has come; empty while a character is incomplete.
    mutating func append(_ token: Int32) -> String
    /// What is left when no more tokens come.
    mutating func finish() -> String
}

extension StreamingDetokenizer: TokenDecoder {}
