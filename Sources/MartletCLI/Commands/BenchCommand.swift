import ArgumentParser
import Foundation
import Martlet
import MartletCheckpoints

struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure tokens per second, here or of a server.",
        discussion: """
            pp512: a prompt of 512 random tokens. tg128: 128 tokens, one step each. x8: for 8 sequences at once, counted \
            together. @ d4096: behind a context of 4096 tokens that were really computed. Each test runs once to warm up, \
            then -r times; the table has the mean and the standard deviation. Lists are numbers with commas between them.

            --ladder measures one prompt and the tokens after it with one optimization after the other switched on, from \
            plain attention to the engine as it is, checks that all compute the same, and prints medians. --depth is the \
            context that decoding starts from then.

            --requests sends many requests of mixed lengths to the engine, all at once or at a --rate, and prints throughput, \
            time to the first token (TTFT), time per output token behind it (TPOT), gaps between tokens (ITL) and peak use \
            of the KV cache; --serial shows what the same requests take one at a time.

            bench serve URL measures a server.
            """)

    @OptionGroup var source: OptionalModelArgument
    @Option(name: [.customShort("p"), .long], help: "Prompt lengths; 0 for none.")
    var prompt = IntegerList([512])
    @Option(name: [.customShort("n"), .long], help: "Tokens to generate; 0 for none. Default: 128; with --ladder 64.")
    var generate: IntegerList?
    @Option(help: "Tokens of context before each test. Default: 0; with --ladder the prompt's length.")
    var depth: IntegerList?
    @Option(help: "Sequences that generate at once.")
    var batch = IntegerList([1])
    @Option(help: "Worker threads. Default: one per processor.")
    var threads: IntegerList?
    @OptionGroup var pinning: PinOption
    @Option(name: [.customShort("r"), .long], help: "How often each test is measured.")
    var repetitions = 5
    @Flag(inversion: .prefixedNo, help: "Run each test once before it is measured.")
    var warmup = true
    @Option(help: "Tokens that one step computes at most.")
    var chunk = 512
    @Flag(help: "Switch optimizations on one after the other, and measure each.")
    var ladder = false
    @Option(name: [.customShort("o"), .customLong("output")], help: "md, csv or json.")
    var format: Format = .md
    @OptionGroup(title: "Many requests at once") var requests: RequestBenchOptions
    @OptionGroup var arithmetic: ComputeOption
    @OptionGroup var weights: QuantizationOption
    @OptionGroup var cache: KVCacheTypeOption
    @OptionGroup var output: JSONOption

    enum Format: String, ExpressibleByArgument, CaseIterable { case md, csv, json }

    func validate() throws {
        try threads?.values.forEach(ThreadsOption.check)
        let largest = 1 << 24
        for (name, list, least) in [
            ("--prompt", prompt, 0), ("--generate", generateOrDefault, 0), ("--depth", depthOrDefault, 0),
            ("--batch", batch, 1),
        ] {
            guard list.values.allSatisfy({ (least...largest).contains($0) }) else {
                throw ValidationError("\(name) must be at least \(least)")
            }
        }
        guard batch.values.allSatisfy({ $0 <= 1024 }) else { throw ValidationError("--batch must be at most 1024") }
        guard (1...10_000).contains(repetitions) else { throw ValidationError("--repetitions must be 1 to 10000") }
        guard (1...65_536).contains(chunk) else { throw ValidationError("--chunk must be 1 to 65536") }
        guard !tests.isEmpty else { throw ValidationError("nothing to measure: --prompt and --generate are 0") }
        if ladder { try validateLadder() }
        if ladder && requests.isWanted { throw ValidationError("--ladder and --requests exclude each other") }
    }

    private var generateOrDefault: IntegerList { generate ?? IntegerList([128]) }
    private var depthOrDefault: IntegerList { depth ?? IntegerList([0]) }

    private var tests: [BenchTest] {
        var tests: [BenchTest] = []
        for depth in depthOrDefault.values {
            for tokens in prompt.values where tokens > 0 {
                tests.append(BenchTest(kind: .prompt, tokens: tokens, depth: depth, batch: 1))
            }
            for batch in batch.values {
                for tokens in generateOrDefault.values where tokens > 0 {
                    tests.append(BenchTest(kind: .generate, tokens: tokens, depth: depth, batch: batch))
                }
            }
        }
        return tests
    }

    func run() async throws {
        if ladder { return try runLadder() }
        if requests.isWanted { return try await runRequests() }
        let path = try source.path()
        let checkpoint = try Checkpoint(path: path)
        let summary = try ModelSummary(checkpoint)
        var results: [BenchResult] = []
        for threads in threads?.values.map(Optional.some) ?? [nil] {
            let model = try load(path, threads: threads, for: checkpoint.configuration)
            results += try measure(model, summary)
        }
        switch output.json ? .json : format {
        case .md: try StandardStream.output.write(BenchResult.table(results).markdown)
        case .csv: try StandardStream.output.write(BenchResult.csvTable(results).csv)
        case .json: try JSONOutput.print(results)
        }
    }

    /// One model serves all tests: its KV pool is as large as the largest of them needs.
    private func load(_ path: String, threads: Int?, for configuration: ModelConfiguration) throws -> LoadedModel {
        let longest = tests.map { $0.depth + $0.tokens }.max() ?? 1
        let batch = tests.map(\.batch).max() ?? 1
        // Sequences start on whole pages.
        let rounded = min((longest + 63) / 64 * 64, max(longest, configuration.maxPositionEmbeddings))
        var options = try ModelLoading.options(
            LoadOptions(), sequences: batch, tokens: rounded, chunk: chunk, for: configuration)
        options.compute = arithmetic.compute
        options.quantization = weights.quantization
        options.kvType = cache.kvCacheType
        options.threads = threads
        options.pinsThreads = pinning.pinThreads
        options.maxSampledRows = batch
        return try ModelLoading.load(path, options)
    }

    private func measure(_ model: LoadedModel, _ summary: ModelSummary) throws -> [BenchResult] {
        let bar = ProgressBar("bench")
        defer { bar.finish() }
        let runner = BenchRunner(model, chunk: chunk)
        var done = 0
        return try tests.map { test in
            let samples = try runner.samples(of: test, repetitions: repetitions, warmUp: warmup) {
                bar.update(Double(done) / Double(tests.count * (repetitions + (warmup ? 1 : 0))), note: test.name)
                done += 1
            }
            return BenchResult(
                model: summary.label, bytes: summary.bytes, parameters: summary.parameters,
                backend: "CPU \(model.instructionSet)", compute: model.compute.rawValue,
                kvCacheType: model.kvType.rawValue, threads: model.threads, test: test, samples: samples)
        }
    }
}

/// Numbers with commas between them.
struct IntegerList: ExpressibleByArgument, CustomStringConvertible {
    let values: [Int]

    init(_ values: [Int]) { self.values = values }

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
        let values = parts.compactMap { Int($0) }
        guard values.count == parts.count, !values.isEmpty else { return nil }
        self.values = values
    }

    var description: String { values.map(String.init).joined(separator: ",") }
}
