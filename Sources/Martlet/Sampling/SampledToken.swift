/// A drawn token.
package struct SampledToken: Sendable, Hashable {
    package var token: Int32
    /// Nil unless asked for.
    package var logprobs: Logprobs?

    package struct Logprobs: Sendable, Hashable {
        /// Of the drawn token.
        package var chosen: Float
        /// The most likely tokens, best first.
        package var top: [Alternative]
    }

    package struct Alternative: Sendable, Hashable {
        package var token: Int32
        package var logprob: Float
    }
}
