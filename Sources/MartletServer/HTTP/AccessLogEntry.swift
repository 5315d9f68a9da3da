import Synchronization

/// A request's line in the log and its place in the metrics, which it gets once, at the end of its answer.
final class AccessLogEntry: Sendable {
    private let record: @Sendable (_ status: Int) -> Void
    private let hasEnded = Atomic(false)

    init(_ record: @escaping @Sendable (_ status: Int) -> Void) { self.record = record }

    /// The answer is written.
    func end(_ status: Int) {
        guard !hasEnded.exchange(true, ordering: .relaxed) else { return }
        record(status)
    }

    /// Nobody writes the answer any more: the client has left.
    deinit { end(Self.clientLeft) }

    /// nginx's status of a request whose client did not wait for the answer.
    static let clientLeft = 499
}
