import Synchronization

/// Bytes of requests' bodies, of all connections together. One alone is bounded as well, but there may be a thousand.
final class BodyMemory: Sendable {
    private let limit: Int
    private let used = Atomic(0)

    init(limit: Int) { self.limit = limit }

    /// What one body takes of it.
    final class Share: Sendable {
        private let memory: BodyMemory
        private let count = Atomic(0)

        init(of memory: BodyMemory) { self.memory = memory }

        /// - Throws: 503 where there is no room for so many more bytes.
        func take(_ bytes: Int) throws(APIError) {
            guard memory.used.add(bytes, ordering: .relaxed).newValue <= memory.limit else {
                memory.used.subtract(bytes, ordering: .relaxed)
                var error = APIError(
                    503, "The bodies of other requests take all memory that is there for them. Please try again later.",
                    code: "service_unavailable")
                error.type = "server_error"
                error.retryAfterSeconds = 1
                throw error
            }
            count.add(bytes, ordering: .relaxed)
        }

        func giveBack() { memory.used.subtract(count.exchange(0, ordering: .relaxed), ordering: .relaxed) }
    }
}
