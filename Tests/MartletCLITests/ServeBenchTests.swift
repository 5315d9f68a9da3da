import Foundation
import Logging
import Martlet
import MartletServer
import TestSupport
import Testing

@testable import MartletCLI

/// `martlet bench serve`: the load that it sends, what it measures, and how it says so.
struct ServeBenchTests {
    @Test func aServerIsASubcommandOfBench() throws {
        let arguments = ["bench", "serve", "http://127.0.0.1:1", "--num-prompts", "3", "--request-rate", "inf"]
        let command = try #require(try MartletCommand.command(for: arguments) as? BenchServeCommand)
        #expect(command.url == "http://127.0.0.1:1" && command.numPrompts == 3 && command.requestRate == .infinity)
        let engine = try #require(try MartletCommand.command(for: ["bench", "some.gguf", "-p", "1"]) as? BenchCommand)
        #expect(engine.source.model == "some.gguf")
        for wrong in [
            ["ftp://a"], ["http://a", "--request-rate", "0"], ["http://a", "--max-concurrency", "0"],
            ["http://a", "--endpoint", "chat"], ["http://a", "--num-prompts", "0"],
            ["http://a", "--request-rate", "1e-20"], ["http://a", "--request-rate", "1e7"],
            ["http://a", "--request-rate", "nan"],
        ] {
            #expect(throws: (any Error).self) { try MartletCommand.command(for: ["bench", "serve"] + wrong) }
        }
    }

    /// However the bytes are cut.
    @Test(arguments: [1, 2, 3, 7, 1000]) func eventsAreRead(size: Int) {
        let text =
            ":\n\ndata: {\"a\": 1}\n\nevent: x\r\ndata:two\r\ndata: lines\r\n\r\n\n\ndata:\n\nid: 3\n\ndata: [DONE]\n\ndata: cut"
        var reader = ServerSentEventReader()
        let bytes = Array(text.utf8)
        var events: [String] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            events += reader.append(bytes[start..<min(start + size, bytes.count)]).map {
                String(decoding: $0, as: UTF8.self)
            }
        }
        #expect(events == ["{\"a\": 1}", "two\nlines", "", "[DONE]"])
    }

    private static let start = ContinuousClock.now

    private static func sample(
        _ firstToken: Double, _ gaps: [Double], at time: Double = 0, prompt: Int = 10
    ) -> ServeBench.Sample {
        var sample = ServeBench.Sample(promptTokens: prompt, start: start + .seconds(time))
        sample.firstToken = firstToken
        sample.gaps = gaps
        sample.total = firstToken + gaps.reduce(0, +)
        sample.outputTokens = gaps.count + 1
        return sample
    }

    private static func json(_ result: ServeBenchResult) throws -> [String: Any] {
        try #require(
            try JSONSerialization.jsonObject(with: Data(JSONOutput.text(result).utf8)) as? [String: Any])
    }

    @Test func theReportIsVLLMs() throws {
        var failed = ServeBench.Sample(promptTokens: 5, start: Self.start - .seconds(100))
        failed.error = "429 Too many"
        let result = ServeBenchResult(
            [
                Self.sample(0.1, [0.01, 0.03]), Self.sample(0.3, [0.02], at: 1), Self.sample(0.2, [], at: 0.5), failed,
                failed,
            ],
            seconds: 2,
            requestRate: 4, maxConcurrency: 16, objectives: ServiceObjectives(argument: "ttft:250") ?? .init())
        #expect(
            result.report == """
                ============ Serving Benchmark Result ============
                Successful requests:                     3
                Failed requests:                         2
                Maximum request concurrency:             16
                Request rate configured (RPS):           4.00
                Benchmark duration (s):                  2.00
                Total input tokens:                      30
                Total generated tokens:                  6
                Request throughput (req/s):              1.50
                Request goodput (req/s):                 1.00
                Output token throughput (tok/s):         3.00
                Peak output token throughput (tok/s):    4.00
                Peak concurrent requests:                1.00
                Total token throughput (tok/s):          18.00
                ---------------Time to First Token----------------
                Mean TTFT (ms):                          200.00
                Median TTFT (ms):                        200.00
                P99 TTFT (ms):                           298.00
                -----Time per Output Token (excl. 1st token)------
                Mean TPOT (ms):                          20.00
                Median TPOT (ms):                        20.00
                P99 TPOT (ms):                           20.00
                ---------------Inter-token Latency----------------
                Mean ITL (ms):                           20.00
                Median ITL (ms):                         20.00
                P99 ITL (ms):                            29.80
                ----------------End-to-end Latency----------------
                Mean E2EL (ms):                          220.00
                Median E2EL (ms):                        200.00
                P99 E2EL (ms):                           317.60
                ==================================================

                """)
        #expect(result.errors.map(\.message) == ["429 Too many"] && result.errors.map(\.count) == [2])
        let json = try Self.json(result)
        #expect(json["completed"] as? Int == 3 && json["total_output_tokens"] as? Int == 6)
        #expect(json["median_ttft_ms"] as? Double == 200 && json["request_rate"] as? Double == 4)
        #expect(json["max_output_tokens_per_s"] as? Int == 4 && json["max_concurrent_requests"] as? Int == 1)
        // numpy.std([100, 200, 300])
        let deviation = try #require(json["std_ttft_ms"] as? Double)
        #expect(abs(deviation - 81.64965809277261) < 1e-9)
    }

    /// Whoever reads the document finds every key, whatever happened.
    @Test func noKeyIsMissing() throws {
        let json = try Self.json(
            ServeBenchResult(
                [ServeBench.Sample(promptTokens: 1)], seconds: 1, requestRate: .infinity, maxConcurrency: nil,
                objectives: .init()))
        #expect(json["request_rate"] as? String == "inf")
        #expect(json["max_concurrency"] is NSNull && json["request_goodput"] is NSNull)
        for kind in ["ttft", "tpot", "itl"] {
            for name in ["mean", "median", "std", "p90", "p99"] {
                #expect(json["\(name)_\(kind)_ms"] as? Double == 0, "\(name) of \(kind)")
            }
        }
        #expect(json["std_e2el_ms"] as? Double == 0 && json["max_output_tokens_per_s"] as? Int == 0)
    }

    @Test func requestsThatOverlapAreCounted() {
        let result = ServeBenchResult(
            [
                Self.sample(0.5, []), Self.sample(0.5, [0.25], at: 0.25), Self.sample(0.125, [], at: 0.5),
                Self.sample(1, [], at: 1),
            ],
            seconds: 2, requestRate: .infinity, maxConcurrency: nil, objectives: .init())
        // The third begins in the moment in which the first is over.
        #expect(result.maxConcurrentRequests == 2)
        // Tokens after 0.5, 0.625 and 0.75 s; after 1; after 2.
        #expect(result.maxOutputTokensPerSecond == 3)
    }

    private static func dataset(
        _ text: String, count: Int, chat: Bool = false, model: String = "m"
    ) throws -> [ServeBenchRequest] {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        try folder.write(text, to: "data.jsonl")
        return try ServeBenchRequest.dataset(
            path: folder.path + "/data.jsonl", count: count, output: 5...5, seed: 0,
            .init(model: model, usesChat: chat, ignoresEnd: false))
    }

    @Test func datasetsAreRequests() throws {
        let text = """
            {"prompt": "Hi", "max_tokens": 3}
            {"prompt": [1, 2, 3]}
            {"messages": [{"role": "user", "content": "Hello"}], "output_tokens": 7}
            """
        let requests = try Self.dataset(text, count: 4)
        #expect(requests.map(\.path) == ["completions", "completions", "chat/completions", "completions"])
        #expect(requests.map(\.promptTokens) == [nil, 3, nil, nil])
        #expect(
            requests[0].body
                == #"{"model":"m","prompt":"Hi","max_tokens":3,"temperature":0,"stream":true,"stream_options":{"include_usage":true}}"#
        )
        #expect(requests[1].body.contains(#""max_tokens":5"#) && requests[2].body.contains(#""max_tokens":7"#))
        #expect(try Self.dataset(text, count: 1, chat: true)[0].body.contains(#"[{"role":"user","content":"Hi"}]"#))
        for (wrong, line) in [
            ("{\"a\": 1}", 1), ("{\"prompt\": \"a\"}\nnothing", 2), ("{\"prompt\": \"a\", \"max_tokens\": 0}", 1),
        ] {
            let error = #expect(throws: CommandFailure.self) { try Self.dataset(wrong, count: 5) }
            #expect(error?.description.contains("line \(line):") == true)
        }
        #expect(throws: CommandFailure.self) { try Self.dataset("", count: 1) }
    }

    private static let stream = [
        #"{"choices": [{"index": 0, "text": "a", "finish_reason": null}]}"#,
        #"{"choices": [{"index": 0, "text": "", "finish_reason": null}]}"#,
        #"{"choices": [{"index": 0, "text": "", "finish_reason": "length"}]}"#,
        #"{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}"#, "[DONE]",
    ].map { "data: \($0)\n\n" }.joined()

    /// A chat that begins and never says anything.
    private static let nothing = """
        data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]}

        data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 0}}

        data: [DONE]


        """

    private static let request = ServeBenchRequest(
        RequestTrace.Request(arrival: 0, prompt: [1], outputTokens: 2),
        .init(model: "m", usesChat: false, ignoresEnd: true))

    /// An answer whose tokens have no text has its end only: that is when it came.
    @Test func theEndAloneIsAnAnswer() async throws {
        let server = try LoopbackServer { _ in
            let end = #"{"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}"#
            let usage = #"{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}"#
            return .init(text: "data: \(end)\n\ndata: \(usage)\n\ndata: [DONE]\n\n")
        }
        let client = BenchClient(url: server.address, key: nil, connections: 1, timeout: .seconds(20))
        let sample = await client.send(Self.request)
        await client.shutdown()
        #expect(sample.error == nil && sample.outputTokens == 1 && sample.gaps.isEmpty)
        let firstToken = try #require(sample.firstToken)
        #expect(firstToken > 0 && sample.total == firstToken)
    }

    /// Without a measured request, and without waiting for half a minute.
    @Test(.enabled(if: CommandLineProgram.executable != nil, "the martlet executable is not beside the tests"))
    func aServerThatIsNotThereIsNamedAtOnce() throws {
        let start = ContinuousClock.now
        let refused = try CommandLineProgram.run("bench", "serve", "http://127.0.0.1:1")
        #expect(refused.status == 1 && refused.errorLines.count == 1)
        #expect(refused.error.contains("http://127.0.0.1:1: ") && refused.error.lowercased().contains("refused"))
        let unknown = try CommandLineProgram.run("bench", "serve", "http://nosuch.invalid")
        #expect(unknown.status == 1 && unknown.error.contains("http://nosuch.invalid: the host is not known"))
        #expect(ContinuousClock.now - start < .seconds(20))
    }

    /// One request goes first, unless it is told not to; what it gets is not counted.
    @Test(.enabled(if: CommandLineProgram.executable != nil, "the martlet executable is not beside the tests"))
    func oneRequestGoesFirst() throws {
        let server = try LoopbackServer { request in
            if request.path == "/v1/models" { return .init(text: #"{"data": [{"id": "m"}]}"#) }
            return request.headers["authorization"] == "Bearer bad" ? .init(500) : .init(text: Self.stream)
        }
        let arguments = ["bench", "serve", server.address, "--num-prompts", "3", "--json"]
        let measured = try CommandLineProgram.run(arguments)
        #expect(measured.status == 0 && measured.text.contains("\"completed\" : 3"), "\(measured.error)")
        #expect(server.requests.count == 5)
        #expect(try CommandLineProgram.run(arguments + ["--no-warmup"]).status == 0)
        #expect(server.requests.count == 5 + 4)
        let failed = try CommandLineProgram.run(arguments + ["--api-key", "bad"])
        #expect(failed.status == 1 && failed.output.isEmpty && failed.error.contains("the first request failed: 500"))
        #expect(server.requests.count == 9 + 2)
    }

    /// Refused and broken answers are counted, and nothing of them is measured.
    @Test func whatGoesWrongIsCounted() async throws {
        let server = try LoopbackServer { request in
            switch request.headers["authorization"] {
            case "Bearer full": .init(429, text: #"{"error": {"message": "Too many requests"}}"#)
            case "Bearer cut": .init(text: String(Self.stream.prefix(200)))
            case "Bearer error": .init(text: "data: {\"error\": {\"message\": \"broken\"}}\n\ndata: [DONE]\n\n")
            case "Bearer nothing": .init(text: Self.nothing)
            default: .init(text: Self.stream)
            }
        }
        for (key, error) in [
            (nil, nil), ("full", "429 Too many requests"), ("cut", "without [DONE]"), ("error", "broken"),
            ("nothing", "no chunk of an answer came"),
        ] as [(String?, String?)] {
            let client = BenchClient(
                url: "http://127.0.0.1:\(server.port)/v1/", key: key, connections: 1, timeout: .seconds(20))
            let sample = await client.send(Self.request)
            await client.shutdown()
            if let error {
                #expect(sample.error?.contains(error) == true, "\(sample.error ?? "none")")
            } else {
                #expect(sample.error == nil, "\(sample.error ?? "")")
                #expect(sample.outputTokens == 2 && sample.promptTokens == 9)
                let firstToken = try #require(sample.firstToken)
                #expect(sample.gaps.count == 1 && firstToken > 0 && sample.total >= firstToken)
            }
        }
    }

    /// The real server and the real model, random prompts at a rate and a file's conversations.
    @Test(
        .enabled(if: SharedFixtures.smolLM2 != nil, "the default model is absent: run 'make model'"),
        .timeLimit(.minutes(2)))
    func aRealServerIsMeasured() async throws {
        var load = LoadOptions()
        load.contextLength = 1024
        load.maxRequests = 4
        let llm = try await LLM.load(SharedFixtures.smolLM2?.path ?? "", options: load)
        var options = ServerOptions()
        options.port = 0
        options.modelNames = ["SmolLM2"]
        options.apiKeys = ["secret"]
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let (ports, continuation) = AsyncStream<Int>.makeStream()
        let server = Server(llm, options: options, version: "1", logger: logger) { continuation.yield($0) }
        let running = Task { try await server.run() }
        var iterator = ports.makeAsyncIterator()
        let port = try #require(await iterator.next())
        let client = BenchClient(url: "http://127.0.0.1:\(port)", key: "secret", connections: 3, timeout: .seconds(60))
        let model = try await client.model()
        #expect(model.name == "SmolLM2" && model.vocabularySize == 49152)
        let settings = ServeBenchRequest.Settings(model: model.name, usesChat: false, ignoresEnd: true)
        let trace = RequestTrace.synthetic(
            count: 8, input: 5...40, output: 3...9, sharedPrefix: 0, tokens: 1000..<49152, seed: 1
        ).poisson(rate: 40, seed: 1)
        let conversation = try Self.dataset(
            #"{"messages": [{"role": "user", "content": "What is the capital of France?"}], "max_tokens": 20}"#,
            count: 1)
        let load2 = trace.requests.map { ServeBenchRequest($0, settings) }
        let run = try await ServeBench(client: client, load: load2, maxConcurrency: 3).run { _ in }
        let chat = await client.send(
            try Self.dataset(
                #"{"prompt": "Tell me a story.", "max_tokens": 4}"#, count: 1, chat: true, model: model.name)[0])
        let other = try await ServeBench(client: client, load: conversation, maxConcurrency: nil).run { _ in }
        await client.shutdown()
        running.cancel()
        _ = await running.result
        let result = ServeBenchResult(
            run.samples, seconds: run.seconds, requestRate: 40, maxConcurrency: 3, objectives: .init())
        #expect(result.completed == 8 && result.failed == 0, "\(result.errors)")
        #expect(result.totalInputTokens == trace.promptTokens)
        #expect(result.totalOutputTokens == trace.outputTokens)
        #expect(result.latencies.allSatisfy { $0.values.allSatisfy { $0.value > 0 } })
        // One chunk for each token: as many gaps as tokens but the first.
        #expect(
            run.samples.allSatisfy { $0.gaps.count <= $0.outputTokens - 1 && $0.firstToken ?? .infinity <= $0.total })
        #expect(chat.error == nil && chat.outputTokens == 4)
        // The dataset names a model that is not served.
        #expect(other.samples.first?.error?.contains("404") == true)
    }
}
