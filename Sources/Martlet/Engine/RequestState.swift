/// Where one request stands: a state machine without side effects.
///
/// There is no prefill state and no decode state. A request has tokens that are *known* (its prompt and what was
/// generated) and, of these, a leading part whose K and V are *computed*. A step computes some more of the known tokens;
/// when it reaches the last one, its logits give one more known token. After preemption nothing is computed and
/// everything is still known, so the same rule recomputes what was lost.
package struct RequestState: Sendable {
    package enum Status: Sendable, Hashable {
        case waiting
        /// It holds this slot of the token table, and one row of the pool per computed token.
        case running(slot: Int)
        case finished(FinishReason)
    }

    /// When generation ends.
    package struct Limits: Sendable, Hashable {
        /// Tokens to generate at most.
        package var maxTokens: Int
        /// Stop tokens don't count before this many tokens are generated.
        package var minTokens: Int
        package var stopTokens: [Int32]

        package init(maxTokens: Int, minTokens: Int = 0, stopTokens: [Int32] = []) {
            self.maxTokens = maxTokens
            self.minTokens = minTokens
            self.stopTokens = stopTokens
        }
    }

    package let id: RequestID
    package let promptCount: Int
    package internal(set) var limits: Limits
    package private(set) var status = Status.waiting
    /// The known tokens: the prompt, then what was generated.
    package private(set) var tokens: [Int32]
    /// How many leading tokens are computed, counting those of the step under way.
    package private(set) var computedCount = 0

    package init(id: RequestID, prompt: [Int32], limits: Limits) {
        precondition(!prompt.isEmpty)
        self.id = id
        self.limits = limits
        promptCount = prompt.count
        tokens = prompt
    }

    package var generatedCount: Int { tokens.count - promptCount }
    package var uncomputedCount: Int { tokens.count - computedCount }

    package var slot: Int? {
        if case .running(let slot) = status { slot } else { nil }
    }

    package mutating func admit(slot: Int) {
        precondition(status == .waiting)
        status = .running(slot: slot)
    }

    /// The next `count` known tokens are part of the step that is being put together.
    package mutating func advance(by count: Int) {
        precondition(slot != nil && count > 0 && count <= uncomputedCount)
        computedCount += count
    }

    /// Takes the token that the logits of the last known token gave.
    ///
    /// - Returns: why the request is finished now, or nil when it goes on.
    package mutating func append(_ token: Int32) -> FinishReason? {
        precondition(slot != nil && uncomputedCount == 0)
        tokens.append(token)
        if generatedCount > limits.minTokens && limits.stopTokens.contains(token) { return .stop }
        return generatedCount >= limits.maxTokens ? .length : nil
    }

    /// Gives up everything computed; the known tokens stay.
    package mutating func preempt() {
        precondition(slot != nil)
        status = .waiting
        computedCount = 0
    }

    package mutating func finish(_ reason: FinishReason) {
        status = .finished(reason)
    }
}
