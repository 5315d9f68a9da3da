import Martlet
import Synchronization

/// What the server has done, under vLLM's names.
package final class ServerMetrics: Sendable {
    fileprivate struct State {
        var firstToken = Histogram(Buckets.firstToken)
        var interToken = Histogram(Buckets.perToken)
        var perToken = Histogram(Buckets.perToken)
        var endToEnd = Histogram(Buckets.latency)
        var refusal = Histogram(Buckets.refusal)
        var queue = Histogram(Buckets.latency)
        var prefill = Histogram(Buckets.latency)
        var inference = Histogram(Buckets.latency)
        var decode = Histogram(Buckets.latency)
        var promptTokens = Histogram([])
        var generationTokens = Histogram([])
        var mostGenerationTokens = Histogram([])
        var choices = Histogram(Buckets.choices)
        var maxTokens = Histogram([])
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
            state.mostGenerationTokens = Histogram(tokens)
            state.maxTokens = Histogram(tokens)
        }
    }

    func countHTTP(status: Int) { state.withLock { $0.responses[status, default: 0] += 1 } }

    /// A request found no place in the queue.
    func countRejection() { state.withLock { $0.finished["rejected", default: 0] += 1 } }

    /// A request was refused with 429, this long after its head was there.
    func observeRefusal(_ time: Duration) { state.withLock { $0.refusal.observe(time.seconds) } }

    /// How requests are counted that the engine took and that have no answer.
    static func reason(of error: any Error) -> String {
        switch (error as? EngineError)?.code {
        case .queueTimeout, .deadlineExceeded: "timed_out"
        // The client has left, another prompt of its list has failed, or the server ends.
        case nil, .shutDown: "abort"
        default: "error"
        }
    }

    func observeGap(_ gap: Duration) { state.withLock { $0.interToken.observe(gap.seconds) } }

    /// The answers to a prompt have ended.
    ///
    /// - Parameters:
    ///   - outputs: the last one of each; nil where it had none.
    ///   - reason: what an answer is counted as whose output doesn't say: the client was gone, or the request failed.
    func observeEnd(_ outputs: [RequestOutput?], _ parameters: SamplingParameters, or reason: String) {
        state.withLock { state in
            for output in outputs {
                state.finished[output?.finishReason?.rawValue ?? reason, default: 0] += 1
                state.ends.append(.now)
                if state.ends.count > Self.rememberedEnds { state.ends.removeFirst() }
                if let output, output.usage.generatedTokens > 0 { state.observe(output, parameters) }
            }
            state.choices.observe(Double(parameters.n))
            let most = outputs.reduce(0) { max($0, $1?.usage.generatedTokens ?? 0) }
            if most > 0 { state.mostGenerationTokens.observe(Double(most)) }
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
    ///   - asVLLM: what vLLM has is called and labelled as there; the rest keeps its name.
    func text(_ statistics: EngineStatistics?, model: String, asVLLM: Bool = false) -> String {
        let labels = (asVLLM ? "engine=\"0\"," : "") + "model_name=\"\(Self.escaped(model))\""
        let prefix = asVLLM ? "vllm:" : Self.prefix
        let state = state.withLock { $0 }
        var text = ""
        if let statistics {
            text += Self.text(statistics, prefix, labels) + Self.text(state, prefix, labels)
            text += state.refusal.text(
                Self.prefix + "request_refusal_time_seconds", "From a request's head to that of its 429.",
                labels: labels)
        }
        let name = Self.prefix + "http_requests_total"
        text += "# HELP \(name) Responses.\n# TYPE \(name) counter\n"
        for (status, count) in state.responses.sorted(by: { $0.key < $1.key }) {
            text += "\(name){status=\"\(status)\",\(labels)} \(count)\n"
        }
        return text + ProcessMetrics.text()
    }

    private static let prefix = "martlet:"

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
        // A row of the cache is what vLLM calls a block.
        let cache = "\(prefix)cache_config_info"
        text += "# HELP \(cache) The KV cache.\n# TYPE \(cache) gauge\n"
        text += "\(cache){block_size=\"1\",num_gpu_blocks=\"\(statistics.cacheRows)\",\(labels)} 1\n"
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
            (
                "request_inference_time_seconds", "From the prompt's first token to the last of the answer.",
                state.inference
            ),
            ("request_decode_time_seconds", "From the first token to the last.", state.decode),
            ("request_prompt_tokens", "Tokens of a prompt.", state.promptTokens),
            ("request_generation_tokens", "Tokens of an answer.", state.generationTokens),
            (
                "request_max_num_generation_tokens", "Tokens of the longest answer to a prompt.",
                state.mostGenerationTokens
            ),
            ("request_params_n", "Answers that a prompt asks for.", state.choices),
            ("request_params_max_tokens", "Tokens that an answer may have, where a request says so.", state.maxTokens),
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

    static let choices: [Double] = [1, 2, 5, 10, 20]

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

extension ServerMetrics.State {
    /// An answer has ended that has tokens.
    fileprivate mutating func observe(_ last: RequestOutput, _ parameters: SamplingParameters) {
        let timings = last.timings
        let generated = last.usage.generatedTokens
        firstToken.observe(timings.firstToken.seconds)
        endToEnd.observe(timings.lastToken.seconds)
        queue.observe(timings.queued.seconds)
        prefill.observe((timings.firstToken - timings.queued).seconds)
        inference.observe((timings.lastToken - timings.queued).seconds)
        let decode = (timings.lastToken - timings.firstToken).seconds
        self.decode.observe(decode)
        if generated > 1 { perToken.observe(decode / Double(generated - 1)) }
        promptTokens.observe(Double(last.usage.promptTokens))
        generationTokens.observe(Double(generated))
        if let limit = parameters.maxTokens { maxTokens.observe(Double(limit)) }
    }
}

/// Watches the answers to one prompt.
final class RequestObserver: Sendable {
    private let metrics: ServerMetrics
    private let parameters: SamplingParameters
    /// The last output of each.
    private let last: Mutex<[RequestOutput?]>

    init(_ metrics: ServerMetrics, _ parameters: SamplingParameters) {
        self.metrics = metrics
        self.parameters = parameters
        last = Mutex(Array(repeating: nil, count: parameters.n))
    }

    func observe(_ output: RequestOutput) {
        let previous = last.withLock { last in
            defer { last[output.index] = output }
            return last[output.index]
        }
        guard let previous, !output.tokenIDs.isEmpty else { return }
        metrics.observeGap(output.timings.lastToken - previous.timings.lastToken)
    }

    /// There are no more outputs.
    ///
    /// - Parameter error: why, where the request did not end by itself.
    func finish(_ error: (any Error)? = nil) {
        metrics.observeEnd(last.withLock { $0 }, parameters, or: error.map(ServerMetrics.reason) ?? "abort")
    }
}
