/// The metadata of one step: which tokens are computed, where their K/V rows go, and what each request sees.
///
/// A step has no phases (DESIGN §3): every request brings `queryCount` ≥ 1 tokens that end its `contextLength`, whether
/// they are a prompt's chunk, one decoded token, or a draft to verify. Tokens of all requests lie one after the other,
/// without padding. The buffers are allocated once for the largest step, so that preparing a step allocates nothing.
package final class StepInput {
    /// One request's share of the step.
    package struct Request {
        /// Index of its first token in the step.
        package var queryStart: Int
        /// Tokens computed in this step, at positions `contextLength - queryCount ..< contextLength`.
        package var queryCount: Int
        /// Positions visible to its last token, that token included.
        package var contextLength: Int
        /// Position → row of the KV pool, for every position below `contextLength`. Owned by the token table, valid
        /// while the step runs.
        package var rows: UnsafePointer<Int32>

        package init(queryStart: Int, queryCount: Int, contextLength: Int, rows: UnsafePointer<Int32>) {
            self.queryStart = queryStart
            self.queryCount = queryCount
            self.contextLength = contextLength
            self.rows = rows
        }
    }

    package let limits: StepLimits
    /// Token ids, `[tokenCount]`.
    package let tokens: UnsafeMutablePointer<Int32>
    /// Position of each token in its request, `[tokenCount]`.
    package let positions: UnsafeMutablePointer<Int32>
    /// KV pool row that each token's K and V are written to, `[tokenCount]`.
    package let rows: UnsafeMutablePointer<Int32>
    /// Tokens (indices into the step) whose logits are wanted, ascending, `[sampledCount]`.
    package let sampled: UnsafeMutablePointer<Int32>
    package let requests: UnsafeMutablePointer<Request>
    /// Rows of the KV pool to copy before anything is computed, in this order.
    package var copies: [RowCopy] = []
    /// The row that a token brings with it, or nil, `[tokenCount]`. Owned by the request's `TokenFeatures`, valid while the
    /// step runs.
    package let features: UnsafeMutablePointer<UnsafePointer<Float>?>
    /// Position of each token on three axes, `[tokenCount]`.
    package let rotaryPositions: UnsafeMutablePointer<RotaryPosition>
    /// Runs of tokens that attend to each other in layers of that scope: parts of requests, with KV rows of their own count.
    package private(set) var windows: [Request] = []

    package private(set) var tokenCount = 0
    package private(set) var sampledCount = 0
    package private(set) var requestCount = 0

    package init(limits: StepLimits) {
        self.limits = limits
        tokens = .allocate(capacity: limits.tokens)
        positions = .allocate(capacity: limits.tokens)
        rows = .allocate(capacity: limits.tokens)
        sampled = .allocate(capacity: limits.sampled)
        requests = .allocate(capacity: limits.requests)
        features = .allocate(capacity: limits.tokens)
        rotaryPositions = .allocate(capacity: limits.tokens)
    }

    deinit {
        tokens.deallocate()
        positions.deallocate()
        rows.deallocate()
        sampled.deallocate()
        requests.deallocate()
        features.deallocate()
        rotaryPositions.deallocate()
    }

    /// Empties the step.
    package func removeAll() {
        tokenCount = 0
        sampledCount = 0
        requestCount = 0
        copies = []
        windows.removeAll(keepingCapacity: true)
    }

    /// Adds a request's next tokens to the step.
    ///
    /// - Parameters:
    ///   - query: the token ids to compute; they stand at the positions that follow `computed`.
    ///   - computed: how many positions of the request are in the KV pool already.
    ///   - table: position → row, for `computed + query.count` positions at least.
    ///   - sampledTail: how many of the last query tokens want logits.
    ///   - features: what the request brings besides token ids; the caller keeps it while the step runs.
    package func append(
        query: UnsafeBufferPointer<Int32>, computed: Int, table: UnsafePointer<Int32>, sampledTail: Int,
        features: TokenFeatures? = nil
    ) {
        precondition(query.count > 0 && sampledTail <= query.count)
        precondition(tokenCount + query.count <= limits.tokens && requestCount < limits.requests)
        precondition(sampledCount + sampledTail <= limits.sampled)
        for i in 0..<query.count {
            // Ids below zero stand for images, whose rows features replace.
            tokens[tokenCount &+ i] = max(query[i], 0)
            positions[tokenCount &+ i] = Int32(truncatingIfNeeded: computed &+ i)
            rows[tokenCount &+ i] = table[computed &+ i]
            self.features[tokenCount &+ i] = nil
            rotaryPositions[tokenCount &+ i] = RotaryPosition(repeating: positions[tokenCount &+ i])
        }
        if let features { append(features, computed..<computed + query.count) }
        requests[requestCount] = Request(
            queryStart: tokenCount, queryCount: query.count, contextLength: computed + query.count, rows: table)
        requestCount += 1
        tokenCount += query.count
        for i in (tokenCount - sampledTail)..<tokenCount {
            sampled[sampledCount] = Int32(truncatingIfNeeded: i)
            sampledCount += 1
        }
    }

    /// The features and rotary positions of a request's tokens `range`, which are being appended.
    private func append(_ given: TokenFeatures, _ range: Range<Int>) {
        let first = tokenCount - range.lowerBound
        for span in given.spans {
            for token in span.range.clamped(to: range) { features[first + token] = span.rows.row(token - span.first) }
        }
        guard !given.rotaryPositions.isEmpty else { return }
        for token in range {
            rotaryPositions[first + token] =
                token < given.rotaryPositions.count
                ? given.rotaryPositions[token]
                : RotaryPosition(repeating: Int32(truncatingIfNeeded: token + given.rotaryOffset))
        }
    }

    /// Makes the next `count` tokens of the last request a window. Windows must cover it in the end.
    package func appendWindow(_ count: Int) {
        let request = requests[requestCount - 1]
        let first = windows.last.map { $0.queryStart + $0.queryCount } ?? request.queryStart
        precondition(count > 0 && request.queryCount == request.contextLength)
        precondition(first + count <= request.queryStart + request.queryCount)
        windows.append(
            Request(
                queryStart: first, queryCount: count, contextLength: count,
                rows: request.rows + (first - request.queryStart)))
    }
}

/// K and V of a token, in all layers, that a step has to copy to another row of the pool.
package struct RowCopy: Sendable, Hashable {
    package var from: Int32
    package var to: Int32

    package init(from: Int32, to: Int32) {
        self.from = from
        self.to = to
    }
}

/// The largest step that a plan is compiled for: buffers and the arena are sized by it.
package struct StepLimits: Sendable, Equatable {
    /// Tokens of all requests together (`maxBatchedTokens`).
    package var tokens: Int
    /// Rows whose logits are computed.
    package var sampled: Int
    /// Requests in one step.
    package var requests: Int

    package init(tokens: Int, sampled: Int, requests: Int) {
        precondition(tokens > 0 && sampled > 0 && requests > 0)
        self.tokens = tokens
        self.sampled = sampled
        self.requests = requests
    }
}
