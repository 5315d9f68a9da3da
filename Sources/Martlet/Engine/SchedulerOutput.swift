/// What one step computes, in integers.
package struct SchedulerOutput: Sendable {
    /// One request's share.
    package struct Entry: Sendable, Hashable {
        package var id: RequestID
        /// Its place among the running requests, until the step's results are in.
        package var index: Int
        package var slot: Int
        /// Known tokens to compute: `start ..< start + count`.
        package var start: Int
        package var count: Int
        /// How many of the last tokens want logits: 1 when the last known token is among them, else 0.
        package var sampledCount: Int
    }

    package internal(set) var entries: [Entry] = []
    package internal(set) var tokenCount = 0
    package internal(set) var sampledCount = 0
    /// Requests that lost their rows to older ones and wait again.
    package internal(set) var preempted: [RequestID] = []

    package var isEmpty: Bool { entries.isEmpty }

    mutating func removeAll() {
        entries.removeAll(keepingCapacity: true)
        preempted.removeAll(keepingCapacity: true)
        tokenCount = 0
        sampledCount = 0
    }
}

/// What a step's token did to its request.
package struct RequestUpdate: Sendable, Hashable {
    package var id: RequestID
    /// Nil when no token could be drawn.
    package var token: Int32?
    /// Not nil when this was the request's last step.
    package var finishReason: FinishReason?
}
