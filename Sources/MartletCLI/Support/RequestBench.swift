import Martlet

/// Sends a trace to an engine, and measures what whoever sent it would have seen.
struct RequestBench {
    /// What happened to one request, in seconds.
    struct Sample: Sendable {
        /// From its arrival to its first token.
        var firstToken: Double
        /// Gaps between its outputs.
        var gaps: [Double]
        /// From its arrival to its end.
        var total: Double
        var tokens: Int

        /// Time per output token behind the first (TPOT).
        var perToken: Double? { tokens > 1 ? (total - firstToken) / Double(tokens - 1) : nil }
    }

    let llm: LLM
    let trace: RequestTrace
    /// One request at a time, each when the one before is done.
    let isSerial: Bool

    /// - Parameter progress: called with the number of requests that are done.
    func run(progress: @escaping @Sendable (Int) -> Void) async throws -> (samples: [Sample], seconds: Double) {
        let start = ContinuousClock.now
        var samples: [Sample] = []
        if isSerial {
            for request in trace.requests {
                samples.append(try await Self.send(request, at: .now, to: llm))
                progress(samples.count)
            }
        } else {
            try await withThrowingTaskGroup(of: Sample.self) { group in
                for request in trace.requests {
                    let arrival = start + .seconds(request.arrival)
                    group.addTask { [llm] in
                        if request.arrival > 0 { try await Task.sleep(until: arrival, tolerance: .milliseconds(1)) }
                        return try await Self.send(request, at: arrival, to: llm)
                    }
                }
                for try await sample in group {
                    samples.append(sample)
                    progress(samples.count)
                }
            }
        }
        return (samples, (ContinuousClock.now - start).seconds)
    }

    private static func send(
        _ request: RequestTrace.Request, at arrival: ContinuousClock.Instant, to llm: LLM
    ) async throws -> Sample {
        var parameters = SamplingParameters()
        parameters.temperature = 0
        parameters.ignoreEOS = true
        parameters.maxTokens = request.outputTokens
        var sample = Sample(firstToken: 0, gaps: [], total: 0, tokens: 0)
        var last = arrival
        for try await output in try await llm.generate(.tokens(request.prompt), parameters) {
            let now = ContinuousClock.now
            if sample.tokens == 0 {
                sample.firstToken = (now - arrival).seconds
            } else if !output.tokenIDs.isEmpty {
                sample.gaps.append((now - last).seconds)
            }
            sample.tokens += output.tokenIDs.count
            last = now
        }
        sample.total = (last - arrival).seconds
        return sample
    }
}
