import Foundation

/// What a load test of a server found, under the names of vLLM's `vllm bench serve`.
struct ServeBenchResult: Encodable {
    let completed: Int
    let failed: Int
    /// Nil for all at once.
    let requestRate: Double?
    let maxConcurrency: Int?
    /// Seconds.
    let duration: Double
    let totalInputTokens: Int
    let totalOutputTokens: Int
    let requestThroughput: Double
    /// Requests per second that were within the objectives; nil without objectives.
    let requestGoodput: Double?
    let outputThroughput: Double
    let totalTokenThroughput: Double
    let latencies: [Latency]
    /// What failed requests said, with how many did.
    let errors: [(message: String, count: Int)]

    /// Times of one kind, in milliseconds.
    struct Latency {
        /// As in "ttft".
        let key: String
        let title: String
        let values: Percentiles?
    }

    init(
        _ samples: [ServeBench.Sample], seconds: Double, requestRate: Double, maxConcurrency: Int?,
        objectives: ServiceObjectives
    ) {
        let good = samples.filter { $0.error == nil }
        completed = good.count
        failed = samples.count - good.count
        self.requestRate = requestRate.isFinite ? requestRate : nil
        self.maxConcurrency = maxConcurrency
        duration = seconds
        totalInputTokens = good.reduce(0) { $0 + $1.promptTokens }
        totalOutputTokens = good.reduce(0) { $0 + $1.outputTokens }
        requestThroughput = Double(completed) / seconds
        outputThroughput = Double(totalOutputTokens) / seconds
        totalTokenThroughput = Double(totalInputTokens + totalOutputTokens) / seconds
        requestGoodput =
            objectives.isEmpty
            ? nil
            : Double(
                good.count { objectives.areMet(firstToken: $0.firstToken, perToken: $0.perToken, total: $0.total) })
                / seconds
        func latency(_ key: String, _ title: String, _ values: [Double]) -> Latency {
            Latency(key: key, title: title, values: Percentiles(values.map { $0 * 1000 }))
        }
        latencies = [
            latency("ttft", "Time to First Token", good.map(\.firstToken)),
            latency("tpot", "Time per Output Token (excl. 1st token)", good.compactMap(\.perToken)),
            latency("itl", "Inter-token Latency", good.flatMap(\.gaps)),
            latency("e2el", "End-to-end Latency", good.map(\.total)),
        ]
        var counts: [String: Int] = [:]
        for sample in samples { if let error = sample.error { counts[error, default: 0] += 1 } }
        errors = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
    }

    // MARK: Text

    private static let width = 50

    /// The report, line by line as vLLM prints it, so that whoever reads those reads this.
    var report: String {
        var lines = [Self.centered(" Serving Benchmark Result ", "=")]
        func add(_ name: String, _ value: String) {
            lines.append(name.padding(toLength: 40, withPad: " ", startingAt: 0) + " " + value)
        }
        func add(_ name: String, _ value: Double) { add(name, String(format: "%.2f", value)) }
        add("Successful requests:", String(completed))
        add("Failed requests:", String(failed))
        if let maxConcurrency { add("Maximum request concurrency:", String(maxConcurrency)) }
        if let requestRate { add("Request rate configured (RPS):", requestRate) }
        add("Benchmark duration (s):", duration)
        add("Total input tokens:", String(totalInputTokens))
        add("Total generated tokens:", String(totalOutputTokens))
        add("Request throughput (req/s):", requestThroughput)
        if let requestGoodput { add("Request goodput (req/s):", requestGoodput) }
        add("Output token throughput (tok/s):", outputThroughput)
        add("Total token throughput (tok/s):", totalTokenThroughput)
        for latency in latencies {
            guard let values = latency.values else { continue }
            lines.append(Self.centered(latency.title, "-"))
            let name = latency.key.uppercased()
            add("Mean \(name) (ms):", values.mean)
            add("Median \(name) (ms):", values.p50)
            add("P99 \(name) (ms):", values.p99)
        }
        lines.append(String(repeating: "=", count: Self.width))
        return lines.joined(separator: "\n") + "\n"
    }

    private static func centered(_ title: String, _ fill: String) -> String {
        let missing = max(width - title.count, 0)
        return String(repeating: fill, count: missing / 2) + title
            + String(repeating: fill, count: missing - missing / 2)
    }

    // MARK: JSON

    private struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }

        init(_ name: String) { stringValue = name }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(completed, forKey: Key("completed"))
        try container.encode(failed, forKey: Key("failed"))
        try container.encodeIfPresent(requestRate, forKey: Key("request_rate"))
        try container.encodeIfPresent(maxConcurrency, forKey: Key("max_concurrency"))
        try container.encode(duration, forKey: Key("duration"))
        try container.encode(totalInputTokens, forKey: Key("total_input_tokens"))
        try container.encode(totalOutputTokens, forKey: Key("total_output_tokens"))
        try container.encode(requestThroughput, forKey: Key("request_throughput"))
        try container.encodeIfPresent(requestGoodput, forKey: Key("request_goodput"))
        try container.encode(outputThroughput, forKey: Key("output_throughput"))
        try container.encode(totalTokenThroughput, forKey: Key("total_token_throughput"))
        for latency in latencies {
            guard let values = latency.values else { continue }
            for (name, value) in [
                ("mean", values.mean), ("median", values.p50), ("p90", values.p90), ("p99", values.p99),
            ] { try container.encode(value, forKey: Key("\(name)_\(latency.key)_ms")) }
        }
    }
}
