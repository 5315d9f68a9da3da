package import MartletGraph

/// Where one request stands: a state machine without side effects.
///
/// There is no prefill state and no decode state. A request has tokens that are *known* (its prompt and what was
/// generated) and, of these, a leading part whose K and V are *computed*. A step computes some more of the known tokens;
/// when it reaches the last one, its logits give one more known token. After preemption nothing is computed and
/// everything is still known, so the same rule recomputes what was lost.
///
/// A *draft* is a guess at the tokens that follow the known ones. The step that computes the last known token computes
/// the draft as well, and as much of it becomes known as the sampler draws itself (speculative decoding).
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
        /// Whether `maxTokens` is what there is room for, rather than what was asked for.
        package internal(set) var isOpenEnded = false

        package init(maxTokens: Int, minTokens: Int = 0, stopTokens: [Int32] = []) {
            self.maxTokens = maxTokens
            self.minTokens = minTokens
            self.stopTokens = stopTokens
        }
    }

    package let id: RequestID
    package let promptCount: Int
    /// What the prompt brings besides token ids.
    package let features: TokenFeatures?
    package internal(set) var limits: Limits
    package let terms: RequestTerms
    package private(set) var status = Status.waiting
    /// The known tokens (the prompt, then what was generated), then the draft.
    package private(set) var tokens: [Int32]
    package private(set) var knownCount: Int
    /// How many leading tokens are computed, counting those of the step under way.
    package private(set) var computedCount = 0
    /// Prompt tokens that others had computed before, or beside, this request.
    package private(set) var cachedCount = 0
    /// Whether it was ever part of a step.
    package private(set) var hasRun = false
    package private(set) var wasPreempted = false
    /// The first position whose logits are still wanted for the prompt's own log-probabilities. The last position of the
    /// prompt, where the answer begins, is none of them.
    package private(set) var promptLogitsStart: Int
    /// Where the request's context leaves the prefix cache's tree; nil while it holds no memory.
    var prefixNode: Int?
    /// Whether its rows were brought together as far as possible (`RequestMemory.align`).
    var isAligned = false
    /// What the model computed for it is no numbers, so what is in its rows may be wrong.
    var isDistrusted = false
    /// Its client's account (`FairShare`), from the queue on.
    var account = 0

    package init(
        id: RequestID, prompt: [Int32], limits: Limits, terms: RequestTerms = .init(), features: TokenFeatures? = nil,
        wantsPromptLogits: Bool = false
    ) {
        precondition(!prompt.isEmpty)
        self.features = features
        self.id = id
        self.limits = limits
        self.terms = terms
        promptCount = prompt.count
        tokens = prompt
        knownCount = prompt.count
        promptLogitsStart = wantsPromptLogits ? 0 : prompt.count - 1
    }

    package var generatedCount: Int { knownCount - promptCount }
    /// Known tokens that are still to be computed.
    package var uncomputedCount: Int { knownCount - computedCount }
    package var draftCount: Int { tokens.count - knownCount }
    /// Whether all that it needs is its next token: its reader waits for one every step.
    package var isDecoding: Bool { uncomputedCount == 1 && generatedCount > 0 }

    /// Whether its claim to be served is stronger: a higher priority, then a longer wait.
    func precedes(_ other: borrowing RequestState) -> Bool {
        terms.priority == other.terms.priority ? id < other.id : terms.priority > other.terms.priority
    }

    package var slot: Int? {
        if case .running(let slot) = status { slot } else { nil }
    }

    package mutating func admit(slot: Int) {
        precondition(status == .waiting)
        status = .running(slot: slot)
    }

    /// Takes `admit` back, before anything was computed.
    package mutating func withdraw() {
        precondition(slot != nil)
        status = .waiting
        computedCount = 0
        isAligned = false
        if !hasRun { cachedCount = 0 }
    }

    /// Known tokens that need not be computed where their K and V are in the pool already. One is always left: its logits
    /// are what the request is for.
    package var reusableCount: Int { wantsPromptLogits ? promptLogitsStart : knownCount - 1 }

    /// The K and V of the first `count` known tokens are in the pool already.
    package mutating func reuse(upTo count: Int) {
        precondition(count >= computedCount && count < knownCount)
        // What it computed itself, before it was preempted, doesn't count.
        if !wasPreempted { cachedCount += count - computedCount }
        computedCount = count
    }

    /// The next `count` tokens are part of the step that is being put together.
    package mutating func advance(by count: Int) {
        precondition(slot != nil && count > 0 && computedCount + count <= tokens.count)
        computedCount += count
        promptLogitsStart = max(promptLogitsStart, min(computedCount, promptCount - 1))
        if !hasRun {
            hasRun = true
            terms.turn?.come()
        }
    }

    /// How many of the next `count` tokens' logits are wanted for the prompt's own log-probabilities.
    package func promptRowCount(ofNext count: Int) -> Int {
        max(0, min(computedCount + count, promptCount - 1) - max(computedCount, promptLogitsStart))
    }

    /// Whether logits are wanted for the prompt's own log-probabilities.
    package var wantsPromptLogits: Bool { promptLogitsStart < promptCount - 1 }

    /// Guesses the tokens that follow the known ones. What exceeds `maxTokens` is left out.
    package mutating func propose(_ draft: some Sequence<Int32>) {
        precondition(draftCount == 0)
        // The draft's last token is followed by one that the sampler draws.
        tokens.append(contentsOf: draft.prefix(max(0, limits.maxTokens - generatedCount - 1)))
    }

    /// Whether the draft has this token at this position.
    package func isDrafted(_ token: Int32, at position: Int) -> Bool {
        position >= knownCount && position < tokens.count && tokens[position] == token
    }

    /// Leaves only the first `count` tokens of the draft.
    package mutating func truncateDraft(to count: Int) {
        if draftCount > count { tokens.removeLast(draftCount - count) }
    }

    /// Takes the token that the logits of the last known token gave. A draft that begins with it goes on; another is void.
    ///
    /// - Returns: why the request is finished now, or nil when it goes on.
    package mutating func append(_ token: Int32) -> FinishReason? {
        precondition(slot != nil && uncomputedCount <= 0)
        if draftCount == 0 || tokens[knownCount] != token {
            truncateDraft(to: 0)
            tokens.append(token)
        }
        knownCount += 1
        if generatedCount > limits.minTokens && limits.stopTokens.contains(token) { return .stop }
        return generatedCount >= limits.maxTokens ? .length : nil
    }

    /// Forgets the draft and what was computed for the part of it that was wrong.
    ///
    /// - Returns: the positions whose rows are of no use any more.
    package mutating func rejectDraft() -> Range<Int> {
        truncateDraft(to: 0)
        // The last known token is never computed yet: it was drawn just now.
        let useful = min(computedCount, knownCount - 1)
        defer { computedCount = useful }
        return useful..<computedCount
    }

    /// Gives up everything computed; the known tokens stay.
    package mutating func preempt() {
        truncateDraft(to: 0)
        withdraw()
        wasPreempted = true
    }

    package mutating func finish(_ reason: FinishReason) {
        status = .finished(reason)
    }
}
