/// Guesses the next tokens of requests. The model verifies them in the same step in which it computes the request's last
/// token, so a guess can cost time, but never change an answer.
///
/// It follows every request token by token: what became of its guesses it sees from that.
package protocol DraftProposer: AnyObject {
    /// A request whose next tokens may be asked for from now on.
    func begin(_ id: RequestID, tokens: [Int32])
    /// The token that stands at a request's end now. Nothing happens for a request that has not begun.
    func append(_ token: Int32, to id: RequestID)
    /// Forgets a request.
    func end(_ id: RequestID)

    /// Fills in the tokens of `drafts`: as many as are worth their cost, which may be none.
    ///
    /// - Parameters:
    ///   - price: the least probability at which the model should verify a guess.
    ///   - sampling: how a request's tokens are drawn.
    func propose(_ drafts: inout [Draft], price: DraftPrice, sampling: (RequestID) -> SamplingState?)
}

/// Tokens that may follow a request's last one.
package struct Draft: Sendable, Hashable {
    package var id: RequestID
    /// Tokens at most, at least 1.
    package var limit: Int
    package var tokens: [Int32] = []

    package init(id: RequestID, limit: Int) {
        self.id = id
        self.limit = limit
    }
}
