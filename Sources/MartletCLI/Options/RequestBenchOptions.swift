import ArgumentParser

/// What `martlet bench --requests` sends.
struct RequestBenchOptions: ParsableArguments {
    @Option(help: "Send this many requests to the engine, and measure throughput and latency.")
    var requests: Int?
    @Option(
        help: "Send the requests of this file, a line each: {\"timestamp\" (ms), \"input_length\", \"output_length\"}.",
        completion: .file(extensions: ["jsonl"]))
    var trace: String?
    @Option(help: "Tokens of a prompt.")
    var input = LengthRange(32...512)
    @Option(help: "Tokens of an answer.")
    var answer = LengthRange(16...256)
    @Option(help: "Tokens that all prompts begin with, on top of --input.")
    var sharedPrefix = 0
    @Option(help: "Requests per second, as a Poisson process. Default: all at once, or when the trace says.")
    var rate: Double?
    @Flag(help: "Send them one at a time too.")
    var serial = false
    @Option(help: "Milliseconds that a good request takes: ttft:500,tpot:50,e2el:5000.")
    var goodput: ServiceObjectives?
    @Option(help: "Makes the trace repeatable.")
    var seed: UInt64 = 0
    @Option(help: "Requests that run at the same time.")
    var maxRequests = 16
    @OptionGroup var cacheSize: CacheSizeOptions
    @OptionGroup var sharing: SharingOptions
    @OptionGroup var speculation: SpeculationOptions

    var isWanted: Bool { requests != nil || trace != nil }

    func validate() throws {
        if let requests, !(1...100_000).contains(requests) {
            throw ValidationError("--requests must be 1 to 100000")
        }
        if requests != nil && trace != nil { throw ValidationError("--requests and --trace exclude each other") }
        if let rate, !RequestTrace.rates.contains(rate) { throw ValidationError("--rate must be 1e-6 to 1e6") }
        guard (0...1 << 20).contains(sharedPrefix) else {
            throw ValidationError("--shared-prefix must be 0 to 1048576")
        }
        guard (1...1024).contains(maxRequests) else { throw ValidationError("--max-requests must be 1 to 1024") }
    }
}

/// "32-512", or one number.
struct LengthRange: ExpressibleByArgument, CustomStringConvertible {
    let values: ClosedRange<Int>

    init(_ values: ClosedRange<Int>) { self.values = values }

    init?(argument: String) {
        let parts = argument.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        guard (1...2).contains(parts.count), let low = parts[0], let high = parts[parts.count - 1], low >= 1,
            low <= high,
            high <= 1 << 20
        else { return nil }
        values = low...high
    }

    var description: String { "\(values.lowerBound)-\(values.upperBound)" }
}

extension ServiceObjectives: ExpressibleByArgument {}
