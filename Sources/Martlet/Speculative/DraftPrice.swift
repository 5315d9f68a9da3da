/// What verifying a guess costs, and what a token is worth.
package struct DraftPrice: Sendable, Hashable {
    /// Seconds that one more token in a step takes.
    package var verification: Double
    /// Seconds per token of an answer, as things go.
    package var answerToken: Double

    package init(verification: Double, answerToken: Double) {
        self.verification = verification
        self.answerToken = answerToken
    }

    /// Every guess pays.
    package static let free = DraftPrice(verification: 0, answerToken: 1)

    /// The least probability of coming true with which a guess saves time.
    ///
    /// - Parameter drafting: seconds that making the guess takes.
    package func leastProbability(drafting: Double = 0) -> Double { (verification + drafting) / answerToken }
}
