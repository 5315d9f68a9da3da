import Foundation
import Martlet

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
    /// Chunks that came within the busiest second.
    let maxOutputTokensPerSecond: Int
    /// Requests that were under way at the same time.
    let maxConcurrentRequests: Int
    let latencies: [Latency]
    /// What failed requests said, with how many did.
    let errors: [(message: String, count: Int)]

    /// Times of one kind, in milliseconds; 0 where there are none.
    struct Latency {
        /// As in "ttft".
        let key: String
        let title: String
        /// By the names that they have in JSON, as "mean_ttft_ms" without the rest.
        let values: [(name: String, value: Double)]

        /// - Parameter seconds: the times.
        init(_ key: String, _ title: String, _ seconds: [Double]) {
            self.key = key
            self.title = title
            let percentiles = Percentiles(seconds)
            let mean = percentiles?.mean ?? 0
            // As NumPy's: of the values themselves, not of what they are a sample of.
            let variance = seconds.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(max(seconds.count, 1))
            values = [
                ("mean", mean), ("median", percentiles?.p50 ?? 0), ("std", variance.squareRoot()),
                ("p90", percentiles?.p90 ?? 0), ("p99", percentiles?.p99 ?? 0),
            ].map { ($0, $1 * 1000) }
        }
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
        let met = good.count { sample in
            guard let firstToken = sample.firstToken else { return false }
            return objectives.areMet(firstToken: firstToken, perToken: sample.perToken, total: sample.total)
        }
        requestGoodput = objectives.isEmpty ? nil : Double(met) / seconds
        maxOutputTokensPerSecond = Self.busiestSecond(good)
        maxConcurrentRequests = Self.peakConcurrency(good)
        latencies = [
            Latency("ttft", "Time to First Token", good.compactMap(\.firstToken)),
            Latency("tpot", "Time per Output Token (excl. 1st token)", good.compactMap(\.perToken)),
            Latency("itl", "Inter-token Latency", good.flatMap(\.gaps)),
            Latency("e2el", "End-to-end Latency", good.map(\.total)),
        ]
        var counts: [String: Int] = [:]
        for sample in samples { if let error = sample.error { counts[error, default: 0] += 1 } }
        errors = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
    }

    /// Seconds are counted from when the first request was sent.
    private static func busiestSecond(_ samples: [ServeBench.Sample]) -> Int {
        guard let start = samples.map(\.start).min() else { return 0 }
        var counts: [Int: Int] = [:]
        for sample in samples {
            guard var time = sample.firstToken else { continue }
            time += (sample.start - start).seconds
            counts[Int(time), default: 0] += 1
            for gap in sample.gaps {
                time += gap
                counts[Int(time), default: 0] += 1
            }
        }
        return counts.values.max() ?? 0
    }

    private static func peakConcurrency(_ samples: [ServeBench.Sample]) -> Int {
        let changes = samples.flatMap { [($0.start, 1), ($0.start + .seconds($0.total), -1)] }
        var (current, peak) = (0, 0)
        // Whoever leaves makes room for who comes at the same moment.
        for (_, change) in changes.sorted(by: { $0 < $1 }) {
            current += change
            peak = max(peak, current)
        }
        return peak
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
        add("Peak output token throughput (tok/s):", Double(maxOutputTokensPerSecond))
        add("Peak concurrent requests:", Double(maxConcurrentRequests))
        add("Total token throughput (tok/s):", totalTokenThroughput)
        for latency in latencies {
            lines.append(Self.centered(latency.title, "-"))
            for (name, value) in latency.values where ["mean", "median", "p99"].contains(name) {
                add("\(name.capitalized) \(latency.key.uppercased()) (ms):", value)
            }
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
        // JSON has no infinity.
        if let requestRate {
            try container.encode(requestRate, forKey: Key("request_rate"))
        } else {
            try container.encode("inf", forKey: Key("request_rate"))
        }
        try container.encode(maxConcurrency, forKey: Key("max_concurrency"))
        try container.encode(duration, forKey: Key("duration"))
        try container.encode(totalInputTokens, forKey: Key("total_input_tokens"))
        try container.encode(totalOutputTokens, forKey: Key("total_output_tokens"))
        try container.encode(requestThroughput, forKey: Key("request_throughput"))
        try container.encode(requestGoodput, forKey: Key("request_goodput"))
        try container.encode(outputThroughput, forKey: Key("output_throughput"))
        try container.encode(totalTokenThroughput, forKey: Key("total_token_throughput"))
        try container.encode(maxOutputTokensPerSecond, forKey: Key("max_output_tokens_per_s"))
        try container.encode(maxConcurrentRequests, forKey: Key("max_concurrent_requests"))
        for latency in latencies {
            for (name, value) in latency.values {
                try container.encode(value, forKey: Key("\(name)_\(latency.key)_ms"))
            }
        }
    }
}
