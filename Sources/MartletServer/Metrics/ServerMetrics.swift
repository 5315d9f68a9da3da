import Martlet
import Synchronization

/// What the server has done, under vLLM's names.
package final class ServerMetrics: Sendable {
    private struct State {
        var firstToken = Histogram(Buckets.firstToken)
        var interToken = Histogram(Buckets.perToken)
        var perToken = Histogram(Buckets.perToken)
        var endToEnd = Histogram(Buckets.latency)
        var refusal = Histogram(Buckets.refusal)
        var queue = Histogram(Buckets.latency)
        var prefill = Histogram(Buckets.latency)
        var decode = Histogram(Buckets.latency)
        var promptTokens = Histogram([])
        var generationTokens = Histogram([])
        /// By finish reason.
        var finished: [String: Int] = [:]
        /// By status.
        var responses: [Int: Int] = [:]
        /// When the last requests ended, oldest first.
        var ends: [ContinuousClock.Instant] = []
    }

    private let state = Mutex(State())

    package init() {}

    /// What is known once the model is loaded. There was no request before.
    ///
    /// - Parameter contextLength: tokens of prompt and answer together, at most.
    package func describe(contextLength: Int) {
        let tokens = Buckets.tokens(upTo: contextLength)
        state.withLock { state in
            state.promptTokens = Histogram(tokens)
            state.generationTokens = Histogram(tokens)
        }
    }

    func countHTTP(status: Int) { state.withLock { $0.responses[status, default: 0] += 1 } }

    /// A request found no place in the queue.
    func countRejection() { state.withLock { $0.finished["rejected", default: 0] += 1 } }

    /// A request was refused with 429, this long after its head was there.
    func observeRefusal(_ time: Duration) { state.withLock { $0.refusal.observe(time.seconds) } }

    /// How requests are counted that end with an error.
    static func reason(of error: any Error) -> String {
        let isTimeout =
            (error as? APIError)?.isTimeout
            ?? [.queueTimeout, .deadlineExceeded].contains((error as? EngineError)?.code)
        return isTimeout ? "timed_out" : "abort"
    }

    func observeGap(_ gap: Duration) { state.withLock { $0.interToken.observe(gap.seconds) } }

    /// A request has ended.
    ///
    /// - Parameters:
    ///   - last: its last output; nil where it had none.
    ///   - reason: what it is counted as where that output doesn't say: the client was gone, or the request failed.
    func observeEnd(_ last: RequestOutput?, or reason: String) {
        state.withLock { state in
            state.finished[last?.finishReason?.rawValue ?? reason, default: 0] += 1
            state.ends.append(.now)
            if state.ends.count > Self.rememberedEnds { state.ends.removeFirst() }
            guard let last, last.usage.generatedTokens > 0 else { return }
            let timings = last.timings
            let generated = last.usage.generatedTokens
            state.firstToken.observe(timings.firstToken.seconds)
            state.endToEnd.observe(timings.lastToken.seconds)
            state.queue.observe(timings.queued.seconds)
            state.prefill.observe((timings.firstToken - timings.queued).seconds)
            let decode = (timings.lastToken - timings.firstToken).seconds
            state.decode.observe(decode)
            if generated > 1 { state.perToken.observe(decode / Double(generated - 1)) }
            state.promptTokens.observe(Double(last.usage.promptTokens))
            state.generationTokens.observe(Double(generated))
        }
    }

    private static let rememberedEnds = 32

    /// When a place in the queue should be free: the mean time between the ends of the last requests.
    var retryAfterSeconds: Int {
        state.withLock { state in
            guard let first = state.ends.first else { return 1 }
            let interval = (ContinuousClock.now - first).seconds / Double(state.ends.count)
            return Int(min(max(interval.rounded(.up), 1), 60))
        }
    }

    // MARK: Prometheus

    /// In Prometheus' text format.
    ///
    /// - Parameters:
    ///   - statistics: of the engine; nil while there is none, and then only responses and the process are told of.
    ///   - prefix: of the names of metrics.
    func text(_ statistics: EngineStatistics?, model: String, prefix: String = "martlet:") -> String {
        let labels = "model_name=\"\(Self.escaped(model))\""
        let state = state.withLock { $0 }
        var text = ""
        if let statistics {
            text += Self.text(statistics, prefix, labels) + Self.text(state, prefix, labels)
        }
        text += "# HELP \(prefix)http_requests_total Responses.\n# TYPE \(prefix)http_requests_total counter\n"
        for (status, count) in state.responses.sorted(by: { $0.key < $1.key }) {
            text += "\(prefix)http_requests_total{status=\"\(status)\",\(labels)} \(count)\n"
        }
        return text + ProcessMetrics.text()
    }

    /// What the engine does and has done.
    private static func text(_ statistics: EngineStatistics, _ prefix: String, _ labels: String) -> String {
        func single(_ name: String, _ type: String, _ help: String, _ value: String) -> String {
            "# HELP \(prefix)\(name) \(help)\n# TYPE \(prefix)\(name) \(type)\n\(prefix)\(name){\(labels)} \(value)\n"
        }
        let usage = Double(statistics.usedCacheRows) / Double(max(statistics.cacheRows, 1))
        var text =
            single("num_requests_running", "gauge", "Requests that run.", "\(statistics.runningRequests)")
            + single("num_requests_waiting", "gauge", "Requests that wait.", "\(statistics.waitingRequests)")
            + single("kv_cache_usage_perc", "gauge", "Part of the KV cache in use, 0 to 1.", "\(usage)")
            + single(
                "prefix_cache_queries_total", "counter", "Prompt tokens looked up.", "\(statistics.prefixCacheQueries)")
            + single("prefix_cache_hits_total", "counter", "Of these, cached.", "\(statistics.prefixCacheHits)")
            + single("num_preemptions_total", "counter", "Requests that lost their rows.", "\(statistics.preemptions)")
            + single("prompt_tokens_total", "counter", "Tokens of prompts.", "\(statistics.promptTokens)")
            + single("generation_tokens_total", "counter", "Tokens generated.", "\(statistics.generatedTokens)")
        if let speculation = statistics.speculation {
            text +=
                single("spec_decode_num_drafts_total", "counter", "Drafts verified.", "\(speculation.drafts)")
                + single(
                    "spec_decode_num_draft_tokens_total", "counter", "Tokens of drafts.", "\(speculation.draftTokens)")
                + single(
                    "spec_decode_num_accepted_tokens_total", "counter", "Of these, part of answers.",
                    "\(speculation.acceptedTokens)")
        }
        let steps = Histogram(
            EngineStatistics.stepTokenBounds.map { Double($0) }, counts: statistics.stepsByTokens,
            sum: Double(statistics.computedTokens))
        return text + steps.text(prefix + "iteration_tokens_total", "Tokens of a step of the engine.", labels: labels)
    }

    /// How requests fared.
    private static func text(_ state: State, _ prefix: String, _ labels: String) -> String {
        var text =
            "# HELP \(prefix)request_success_total Requests that ended.\n# TYPE \(prefix)request_success_total counter\n"
        for (reason, count) in state.finished.sorted(by: { $0.key < $1.key }) {
            text += "\(prefix)request_success_total{finished_reason=\"\(reason)\",\(labels)} \(count)\n"
        }
        for (name, help, histogram) in [
            ("time_to_first_token_seconds", "From arrival to the first token.", state.firstToken),
            ("inter_token_latency_seconds", "Between two tokens of a request.", state.interToken),
            (
                "request_time_per_output_token_seconds", "Per token behind the first, a mean per request.",
                state.perToken
            ),
            ("e2e_request_latency_seconds", "From arrival to the last token.", state.endToEnd),
            ("request_queue_time_seconds", "Until the first token of the prompt was computed.", state.queue),
            ("request_prefill_time_seconds", "From there to the first token.", state.prefill),
            ("request_decode_time_seconds", "From the first token to the last.", state.decode),
            ("request_refusal_time_seconds", "From a request's head to that of its 429.", state.refusal),
            ("request_prompt_tokens", "Tokens of a prompt.", state.promptTokens),
            ("request_generation_tokens", "Tokens of an answer.", state.generationTokens),
        ] {
            text += histogram.text(prefix + name, help, labels: labels)
        }
        return text
    }

    private static func escaped(_ label: String) -> String {
        label.unicodeScalars.reduce(into: "") { result, scalar in
            switch scalar {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(scalar)
            }
        }
    }
}

/// vLLM's, so that its dashboards fit.
private enum Buckets {
    static let firstToken: [Double] = [
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640,
        2560,
    ]
    static let perToken: [Double] = [
        0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
    ]
    static let latency: [Double] = [
        0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
    ]

    /// Of no name in vLLM: refusing should take next to nothing.
    static let refusal: [Double] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1]

    /// 1, 2, 5, 10, …
    static func tokens(upTo limit: Int) -> [Double] {
        var bounds: [Double] = []
        var decade = 1.0
        while decade <= Double(limit) {
            for step in [1, 2, 5] where decade * Double(step) <= Double(limit) { bounds.append(decade * Double(step)) }
            decade *= 10
        }
        return bounds
    }
}

/// Watches the outputs of one choice.
final class RequestObserver: Sendable {
    private let metrics: ServerMetrics
    private let last = Mutex<RequestOutput?>(nil)

    init(_ metrics: ServerMetrics) { self.metrics = metrics }

    func observe(_ output: RequestOutput) {
        let previous = last.withLock { last in
            defer { last = output }
            return last
        }
        guard let previous, !output.tokenIDs.isEmpty else { return }
        metrics.observeGap(output.timings.lastToken - previous.timings.lastToken)
    }

    /// There are no more outputs.
    ///
    /// - Parameter error: why, where the request did not end by itself.
    func finish(_ error: (any Error)? = nil) {
        metrics.observeEnd(last.withLock { $0 }, or: error.map(ServerMetrics.reason) ?? "abort")
    }
}
