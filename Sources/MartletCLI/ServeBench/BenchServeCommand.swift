import ArgumentParser
import Foundation

/// `martlet bench serve URL`.
struct BenchServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        // Two words: `bench` itself takes a MODEL, which "serve" would be (`MartletCommand.command`).
        commandName: "bench serve",
        abstract: "Measure a server that speaks OpenAI's API.",
        discussion: """
            Sends streamed requests to URL/v1/completions (or /v1/chat/completions) and reports throughput and latency as \
            vLLM's `vllm bench serve` does: TTFT is the time from sending a request to its first token, TPOT the time per \
            output token behind the first, ITL the gap between two chunks, E2EL the time to the end.

            Prompts are random token ids in random lengths, greedy and without an end of their own, or the lines of a \
            --dataset: {"prompt": text or token ids} or {"messages": [...]}, each with "max_tokens" where --output-len does \
            not say.

            One request goes first and is not measured; if it fails, that is all.
            """)

    @Argument(help: "Where the server is, as http://127.0.0.1:8080.") var url: String
    @Option(help: "How many requests are sent.")
    var numPrompts = 64
    @Option(help: "Requests per second, as a Poisson process; inf for all at once.")
    var requestRate = Double.infinity
    @Option(help: "Requests that are under way at the same time; others wait. Default: no limit.")
    var maxConcurrency: Int?
    @Option(help: "Tokens of a random prompt, as 512 or 32-512.")
    var inputLen = LengthRange(32...512)
    @Option(help: "Tokens of an answer, as 128 or 16-256.")
    var outputLen = LengthRange(16...256)
    @Option(help: "Tokens that all random prompts begin with, on top of --input-len.")
    var sharedPrefix = 0
    @Option(help: "A file of requests, a JSON object a line.", completion: .file(extensions: ["jsonl"]))
    var dataset: String?
    @Option(help: "Which route requests without messages go to: completions or chat.")
    var endpoint = Endpoint.completions
    @Option(help: "The model's name in requests. Default: the first of /v1/models.")
    var model: String?
    @Option(help: "Random ids are below this. Default: what /v1/models says, else 32000.")
    var vocabularySize: Int?
    @Option(help: ArgumentHelp("A key of the server.", discussion: "Others don't see $OPENAI_API_KEY."))
    var apiKey: String?
    @Flag(inversion: .prefixedNo, help: "Go on to --output-len, whatever the model wants.")
    var ignoreEos = true
    @Flag(inversion: .prefixedNo, help: "Send one request first that is not measured.")
    var warmup = true
    @Option(help: "Milliseconds that a good request takes: ttft:500,tpot:50,e2el:5000.")
    var goodput: ServiceObjectives?
    @Option(help: "Seconds that one request may take.")
    var timeout = 600
    @Option(help: "Makes prompts, lengths and arrivals repeatable.")
    var seed: UInt64 = 0
    @OptionGroup var output: JSONOption

    enum Endpoint: String, ExpressibleByArgument { case completions, chat }

    func validate() throws {
        guard (1...1_000_000).contains(numPrompts) else { throw ValidationError("--num-prompts must be 1 to 1000000") }
        guard RequestTrace.rates.contains(requestRate) || requestRate == .infinity else {
            throw ValidationError("--request-rate must be 1e-6 to 1e6, or inf")
        }
        if let maxConcurrency, !(1...100_000).contains(maxConcurrency) {
            throw ValidationError("--max-concurrency must be 1 to 100000")
        }
        guard (0...1 << 20).contains(sharedPrefix) else {
            throw ValidationError("--shared-prefix must be 0 to 1048576")
        }
        if let vocabularySize, !(2...1 << 24).contains(vocabularySize) {
            throw ValidationError("--vocabulary-size must be 2 to \(1 << 24)")
        }
        guard (1...86_400).contains(timeout) else { throw ValidationError("--timeout must be 1 to 86400") }
        guard let address = URL(string: url), ["http", "https"].contains(address.scheme), address.host() != nil else {
            throw ValidationError("URL must begin with http:// or https://")
        }
        if endpoint == .chat, dataset == nil {
            throw ValidationError("--endpoint chat needs a --dataset: random ids are no messages")
        }
    }

    func run() async throws {
        let key = apiKey ?? ProcessInfo.processInfo.environment["OPENAI_API_KEY"]
        let client = BenchClient(
            url: url, key: key, connections: maxConcurrency ?? numPrompts, timeout: .seconds(timeout))
        do {
            let result = try await measure(client)
            await client.shutdown()
            if output.json {
                try JSONOutput.print(result)
            } else {
                try StandardStream.output.write(result.report)
            }
            for (message, count) in result.errors { Terminal.warn("\(count) × \(message)") }
            guard result.completed > 0 else { throw CommandFailure("no request succeeded") }
        } catch {
            await client.shutdown()
            throw error
        }
    }

    private func measure(_ client: BenchClient) async throws -> ServeBenchResult {
        let served = try await client.model()
        let (first, load) = try requests(
            model: model ?? served.name, vocabulary: vocabularySize ?? served.vocabularySize)
        if warmup, let error = await client.send(first).error {
            throw CommandFailure("the first request failed: \(error.singleLine)")
        }
        let bar = ProgressBar("bench")
        defer { bar.finish() }
        let run = try await ServeBench(client: client, load: load, maxConcurrency: maxConcurrency).run { done in
            bar.update(Double(done) / Double(load.count), note: "\(done)/\(load.count)")
        }
        return ServeBenchResult(
            run.samples, seconds: run.seconds, requestRate: requestRate, maxConcurrency: maxConcurrency,
            objectives: goodput ?? ServiceObjectives())
    }

    /// One request that goes first, and those that are measured with their times.
    private func requests(
        model: String, vocabulary: Int?
    ) throws -> (first: ServeBenchRequest, load: [ServeBenchRequest]) {
        let settings = ServeBenchRequest.Settings(
            model: model, usesChat: endpoint == .chat, ignoresEnd: ignoreEos)
        // Another prompt than those that are measured: a server may keep what it has computed.
        let first: ServeBenchRequest
        var load: [ServeBenchRequest]
        if let dataset {
            load = try ServeBenchRequest.dataset(
                path: dataset, count: numPrompts + 1, output: outputLen.values, seed: seed, settings)
            first = load.removeLast()
        } else {
            // As for the engine alone (`martlet bench --requests`), so that the two can be compared.
            let size = vocabulary ?? 32_000
            func random(_ count: Int, seed: UInt64) -> [ServeBenchRequest] {
                RequestTrace.synthetic(
                    count: count, input: inputLen.values, output: outputLen.values, sharedPrefix: sharedPrefix,
                    tokens: min(1000, size / 2)..<size, seed: seed
                ).requests.map { ServeBenchRequest($0, settings) }
            }
            load = random(numPrompts, seed: seed)
            first = random(1, seed: ~seed)[0]
        }
        if requestRate.isFinite {
            let arrivals = RequestTrace.poissonArrivals(count: load.count, rate: requestRate, seed: seed)
            for index in load.indices { load[index].arrival = arrivals[index] }
        }
        return (first, load)
    }
}
