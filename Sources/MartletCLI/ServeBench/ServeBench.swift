import Martlet

/// Sends a load to a server.
struct ServeBench: Sendable {
    /// What became of one request. Times are seconds.
    struct Sample: Sendable {
        var promptTokens: Int
        var outputTokens = 0
        /// When the request was sent.
        var start: ContinuousClock.Instant
        /// From sending the request to its first token; nil where none came.
        var firstToken: Double?
        /// Between two chunks.
        var gaps: [Double] = []
        /// From sending the request to its last token.
        var total = 0.0
        /// Whether the stream ended as it should.
        var isComplete = false
        var error: String?

        init(promptTokens: Int, start: ContinuousClock.Instant = .now) {
            self.promptTokens = promptTokens
            self.start = start
        }

        /// Time per output token behind the first.
        var perToken: Double? {
            guard let firstToken, outputTokens > 1 else { return nil }
            return (total - firstToken) / Double(outputTokens - 1)
        }
    }

    let client: BenchClient
    /// In the order of their arrival.
    let load: [ServeBenchRequest]
    /// Requests that are under way at the same time; nil for no limit.
    let maxConcurrency: Int?

    /// - Parameter progress: called with the number of requests that are done.
    func run(progress: @escaping @Sendable (Int) -> Void) async throws -> (samples: [Sample], seconds: Double) {
        let start = ContinuousClock.now
        let samples = try await withThrowingTaskGroup(of: Sample.self) { group in
            var samples: [Sample] = []
            var underWay = 0
            for request in load {
                while underWay >= maxConcurrency ?? .max, let sample = try await group.next() {
                    samples.append(sample)
                    underWay -= 1
                    progress(samples.count)
                }
                if request.arrival > 0 {
                    try await Task.sleep(until: start + .seconds(request.arrival), tolerance: .milliseconds(1))
                }
                group.addTask { [client] in await client.send(request) }
                underWay += 1
            }
            for try await sample in group {
                samples.append(sample)
                progress(samples.count)
            }
            return samples
        }
        return (samples, (ContinuousClock.now - start).seconds)
    }
}
