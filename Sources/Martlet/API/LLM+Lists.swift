extension LLM {
    /// Works through a list, a bounded number of its places at a time. Where the engine's queue is full a place is done again when
    /// another one of the list has ended: others fill the queue as well, and that must not end what is half done.
    ///
    /// - Parameters:
    ///   - most: places at a time.
    ///   - work: what is to be done for a place. Where it throws `queueFull` nothing has been done.
    /// - Returns: what `work` gives, in the order of the list.
    /// - Throws: the first other error, which ends the others; `queueFull` where nothing of the list is with the engine;
    ///   `CancellationError`.
    static func map<Value: Sendable>(
        placesOf count: Int, atOnce most: Int, _ work: @escaping @Sendable (Int) async throws -> Value
    ) async throws -> [Value] {
        try await withThrowingTaskGroup(of: (Int, Result<Value, EngineError>).self) { group in
            var values = [Value?](repeating: nil, count: count)
            var left = Array((0..<count).reversed())
            var (running, limit) = (0, max(1, most))
            while true {
                while running < limit, let index = left.popLast() {
                    group.addTask { (index, try await Self.refusalOrResult { try await work(index) }) }
                    running += 1
                }
                guard let (index, result) = try await group.next() else { return values.compactMap { $0 } }
                running -= 1
                switch result {
                case .success(let value):
                    values[index] = value
                    limit = min(limit + 1, max(1, most))
                case .failure(let refusal):
                    guard running > 0 else { throw refusal }
                    left.append(index)
                    limit = running
                }
            }
        }
    }

    /// - Returns: `queueFull` as a value; what is thrown is another error.
    private static func refusalOrResult<Value: Sendable>(
        _ work: () async throws -> Value
    ) async throws -> Result<Value, EngineError> {
        do {
            return .success(try await work())
        } catch {
            // Who is cancelled is told so, and nothing else.
            try Task.checkCancellation()
            guard let refusal = error as? EngineError, refusal.code == .queueFull else { throw error }
            return .failure(refusal)
        }
    }
}
