import Foundation
import Martlet

/// What a load test found. Times are seconds.
struct RequestBenchResult: Encodable {
    let arrivals: String
    let requests: Int
    let promptTokens: Int
    let outputTokens: Int
    let seconds: Double
    let requestsPerSecond: Double
    let outputTokensPerSecond: Double
    let totalTokensPerSecond: Double
    /// Time to the first token.
    let ttft: Percentiles?
    /// Time per output token behind the first, a mean for each request.
    let tpot: Percentiles?
    /// Gaps between outputs of a request.
    let itl: Percentiles?
    /// From arrival to end.
    let endToEnd: Percentiles?
    /// Requests per second that were within the objectives; nil without objectives.
    let goodput: Double?
    let steps: Int
    let peakCacheRows: Int
    let preemptions: Int
    /// Part of the prompts' tokens that others had computed; nil where none were looked up.
    let prefixCacheHitRate: Double?

    init(
        arrivals: String, _ samples: [RequestBench.Sample], seconds: Double, promptTokens: Int,
        objectives: ServiceObjectives, _ statistics: EngineStatistics
    ) {
        self.arrivals = arrivals
        self.promptTokens = promptTokens
        self.seconds = seconds
        requests = samples.count
        outputTokens = samples.reduce(0) { $0 + $1.tokens }
        requestsPerSecond = Double(samples.count) / seconds
        outputTokensPerSecond = Double(outputTokens) / seconds
        totalTokensPerSecond = Double(outputTokens + promptTokens) / seconds
        ttft = Percentiles(samples.map(\.firstToken))
        tpot = Percentiles(samples.compactMap(\.perToken))
        itl = Percentiles(samples.flatMap(\.gaps))
        endToEnd = Percentiles(samples.map(\.total))
        goodput = objectives.isEmpty ? nil : Double(samples.count { objectives.areMet(by: $0) }) / seconds
        steps = statistics.steps
        peakCacheRows = statistics.peakCacheRows
        preemptions = statistics.preemptions
        let queries = statistics.prefixCacheQueries
        prefixCacheHitRate = queries > 0 ? Double(statistics.prefixCacheHits) / Double(queries) : nil
    }

    /// Throughput in one table, latency in another: a row for each way of arriving.
    static func markdown(_ results: [RequestBenchResult]) -> String {
        var throughput = Table(
            .init("arrivals"), .init("requests", .right), .init("s", .right), .init("req/s", .right),
            .init("output tok/s", .right), .init("total tok/s", .right), .init("goodput req/s", .right),
            .init("steps", .right), .init("peak KV rows", .right), .init("preemptions", .right),
            .init("prefix hits", .right))
        var latency = Table(
            .init("arrivals"), .init("ms"), .init("mean", .right), .init("p50", .right), .init("p90", .right),
            .init("p99", .right))
        for result in results {
            throughput.append(
                result.arrivals, String(result.requests), String(format: "%.2f", result.seconds),
                String(format: "%.2f", result.requestsPerSecond), String(format: "%.1f", result.outputTokensPerSecond),
                String(format: "%.1f", result.totalTokensPerSecond),
                result.goodput.map { String(format: "%.2f", $0) } ?? "–", String(result.steps),
                String(result.peakCacheRows), String(result.preemptions),
                result.prefixCacheHitRate.map { String(format: "%.1f %%", $0 * 100) } ?? "–")
            for (name, values) in [
                ("TTFT", result.ttft), ("TPOT", result.tpot), ("ITL", result.itl), ("end to end", result.endToEnd),
            ] {
                guard let values else { continue }
                let cells = [values.mean, values.p50, values.p90, values.p99].map { String(format: "%.1f", $0 * 1000) }
                latency.append(result.arrivals, name, cells[0], cells[1], cells[2], cells[3])
            }
        }
        return throughput.markdown + "\n" + latency.markdown
    }
}

/// Latencies that a request must keep to count as good, as in vLLM's `--goodput`: "ttft:500,tpot:50" in milliseconds.
struct ServiceObjectives: Equatable {
    private(set) var firstToken: Double?
    private(set) var perToken: Double?
    private(set) var total: Double?

    init() {}

    init?(argument: String) {
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            let pair = part.split(separator: ":", omittingEmptySubsequences: false)
            guard pair.count == 2, let value = Double(pair[1]), value > 0, value.isFinite else { return nil }
            switch pair[0] {
            case "ttft": firstToken = value / 1000
            case "tpot": perToken = value / 1000
            case "e2el": total = value / 1000
            default: return nil
            }
        }
    }

    var isEmpty: Bool { self == ServiceObjectives() }

    func areMet(by sample: RequestBench.Sample) -> Bool {
        areMet(firstToken: sample.firstToken, perToken: sample.perToken, total: sample.total)
    }

    func areMet(firstToken: Double, perToken: Double?, total: Double) -> Bool {
        firstToken <= self.firstToken ?? .infinity && perToken ?? 0 <= self.perToken ?? .infinity
            && total <= self.total ?? .infinity
    }
}
