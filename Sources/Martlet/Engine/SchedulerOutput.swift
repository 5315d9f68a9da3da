package import MartletGraph

/// What one step computes, in integers.
package struct SchedulerOutput: Sendable {
    /// One request's share.
    package struct Entry: Sendable, Hashable {
        package var id: RequestID
        /// Its place among the running requests, until the step's results are in.
        package var index: Int
        package var slot: Int
        /// Tokens to compute: `start ..< start + count`.
        package var start: Int
        package var count: Int
        /// How many of the last tokens want logits.
        package var sampledCount: Int
        /// How many of these logits, the first ones, are for the prompt's own log-probabilities. Tokens are drawn from the
        /// others: from none when known tokens are left, else from 1, and 1 more for every token of a draft.
        package var promptRowCount = 0

        package var drawCount: Int { sampledCount - promptRowCount }
        /// Position of the token that is predicted by the first of these logits.
        package var firstSampledPosition: Int { start + count - sampledCount + 1 }
    }

    package internal(set) var entries: [Entry] = []
    package internal(set) var tokenCount = 0
    package internal(set) var sampledCount = 0
    /// Tokens that are not the next token of a request that has begun to answer, and how many positions they attend to.
    package internal(set) var promptTokenCount = 0
    package internal(set) var promptPositionCount = 0
    /// Rows to copy before.
    package internal(set) var copies: [RowCopy] = []
    /// Requests that lost their rows to others and wait again.
    package internal(set) var preempted: [RequestID] = []

    package var isEmpty: Bool { entries.isEmpty }
    /// Entries from whose logits tokens are drawn.
    package var sampledEntryCount: Int { entries.count { $0.drawCount > 0 } }

    mutating func removeAll() {
        entries.removeAll(keepingCapacity: true)
        preempted.removeAll(keepingCapacity: true)
        if !copies.isEmpty { copies = [] }
        tokenCount = 0
        sampledCount = 0
        promptTokenCount = 0
        promptPositionCount = 0
    }
}

/// The tokens that a step's logits gave, in the order of its entries with logits.
package struct DrawnTokens: Sendable {
    /// All of them, one after the other; nil where none could be drawn.
    package private(set) var tokens: [Int32?] = []
    /// How many belong to each entry: more than one only where all but the last equal the draft, none where it has to wait.
    package private(set) var counts: [Int] = []

    package init() {}

    /// One token for each entry: what a step without drafts gives.
    package init(_ tokens: [Int32?]) {
        self.tokens = tokens
        counts = Array(repeating: 1, count: tokens.count)
    }

    /// The next tokens belong to another entry.
    package mutating func beginEntry() { counts.append(0) }

    package mutating func append(_ token: Int32?) {
        tokens.append(token)
        counts[counts.count - 1] += 1
    }

    package mutating func removeAll() {
        tokens.removeAll(keepingCapacity: true)
        counts.removeAll(keepingCapacity: true)
    }
}

/// What a step's token did to its request.
package struct RequestUpdate: Sendable, Hashable {
    package var id: RequestID
    /// Nil when no token could be drawn.
    package var token: Int32?
    /// Its place among the drawn tokens. Those behind a request's last token are left out.
    package var draw: Int
    /// Prompt tokens of the request that it found computed.
    package var cachedCount: Int
    /// Not nil when this was the request's last step.
    package var finishReason: FinishReason?
}
