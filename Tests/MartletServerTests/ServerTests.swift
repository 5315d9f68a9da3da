import Foundation
import Logging
import Martlet
import MartletJinja
import ServiceLifecycle
import TestSupport
import Testing

@testable import MartletServer

/// The server on a real socket, with the real model.
@Suite(.enabled(if: TestModel.isPresent, Comment(rawValue: TestModel.absence)), .serialized, .timeLimit(.minutes(2)))
struct ServerTests {
    struct Setup {
        var options = ServerOptions()
        var engine = EngineOptions()
        var load = LoadOptions()
        var logger = Logger(label: "test")

        init() {
            logger.logLevel = .critical
            options.port = 0
            options.modelNames = ["SmolLM2"]
            load.contextLength = 1024
            load.maxRequests = 4
        }
    }

    /// A server for one test, with an engine of its own.
    static func withServer(
        _ setup: Setup = Setup(),
        _ body: (_ port: Int, _ llm: LLM, _ stop: @escaping @Sendable () async -> Void) async throws -> Void
    ) async throws {
        let llm = try await LLM.load(SharedFixtures.smolLM2?.path ?? "", options: setup.load, engine: setup.engine)
        let (ports, continuation) = AsyncStream<Int>.makeStream()
        let server = Server(llm, options: setup.options, version: "1.2.3", logger: setup.logger) {
            continuation.yield($0)
        }
        let group = ServiceGroup(configuration: .init(services: [server], logger: setup.logger))
        let running = Task { try await group.run() }
        let stop: @Sendable () async -> Void = {
            await group.triggerGracefulShutdown()
            _ = await running.result
        }
        var iterator = ports.makeAsyncIterator()
        let port = try #require(await iterator.next())
        do {
            try await body(port, llm, stop)
        } catch {
            await stop()
            throw error
        }
        await stop()
        try await running.value
        #expect(await llm.statistics.runningRequests == 0)
        #expect(await llm.statistics.usedCacheRows == 0)
    }

    private static let question =
        #"{"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0"#
    private static let endless = #"{"prompt": "Once upon a time", "ignore_eos": true, "temperature": 0"#

    static func post(_ port: Int, _ path: String, _ body: String, _ headers: [String: String] = [:])
        async throws
        -> HTTPClient.Response
    {
        try await HTTPClient.exchange(port: port, HTTPClient.request("POST", path, body: body, headers: headers))
    }

    static func get(_ port: Int, _ path: String, _ headers: [String: String] = [:]) async throws
        -> HTTPClient.Response
    {
        try await HTTPClient.exchange(port: port, HTTPClient.request("GET", path, headers: headers))
    }

    @Test func smallRoutesAnswer() async throws {
        try await Self.withServer { port, llm, _ in
            #expect(try await Self.get(port, "/health").json?["status"] as? String == "ok")
            #expect(try await Self.get(port, "/ready").json?["status"] as? String == "ok")
            #expect(try await Self.get(port, "/version").json?["version"] as? String == "1.2.3")
            let models = try #require(try await Self.get(port, "/v1/models").json?["data"] as? [[String: Any]])
            #expect(models.map { $0["id"] as? String } == ["SmolLM2"])
            #expect(try await Self.get(port, "/v1/models/SmolLM2").json?["object"] as? String == "model")
            #expect(try await Self.get(port, "/v1/models/gpt-4o").error?["code"] as? String == "model_not_found")
            #expect(try await Self.get(port, "/nowhere").status == 404)
            let wrong = try await Self.get(port, "/v1/completions")
            #expect(wrong.status == 405 && wrong.headers["allow"] != nil)
            let tokens = try await Self.post(
                port, "/tokenize", #"{"prompt": "Hello wörld", "return_token_strs": true}"#)
            #expect(tokens.json?["tokens"] as? [Int] == llm.tokenize("Hello wörld"))
            #expect((tokens.json?["token_strs"] as? [String])?.first == "Hello")
            let ids = llm.tokenize("Hello wörld").map(String.init).joined(separator: ",")
            let text = try await Self.post(port, "/detokenize", "{\"tokens\": [\(ids)]}")
            #expect(text.json?["prompt"] as? String == "Hello wörld")
            #expect(
                try await Self.post(port, "/detokenize", #"{"tokens": [99999999]}"#).error?["param"] as? String
                    == "tokens")
            let template = try await Self.post(
                port, "/apply-template", #"{"messages": [{"role": "user", "content": "Hi"}]}"#)
            #expect((template.json?["prompt"] as? String)?.hasSuffix("<|im_start|>assistant\n") == true)
            let called = #"""
                {"messages": [{"role": "user", "content": "Hi"}],
                 "tools": [{"type": "function", "function": {"name": "clock"}}]}
                """#
            let withTools = try #require(
                try await Self.post(port, "/apply-template", called).json?["prompt"] as? String)
            #expect(withTools.contains("clock"))
            let toolTokens = try await Self.post(port, "/tokenize", called).json?["tokens"] as? [Int] ?? []
            #expect(llm.detokenize(toolTokens, skipSpecialTokens: false) == withTools)
            let echoed = try await Self.get(port, "/health", ["X-Request-Id": "abc-1"])
            #expect(echoed.headers["x-request-id"] == "abc-1")
        }
    }

    @Test func aChatIsAnsweredWholeAndStreamed() async throws {
        try await Self.withServer { port, llm, _ in
            let whole = try await Self.post(port, "/v1/chat/completions", Self.question + #", "colour": 1}"#)
            #expect(whole.status == 200)
            #expect(whole.headers["x-martlet-warning"]?.contains("colour") == true)
            let message = ((whole.json?["choices"] as? [[String: Any]])?.first?["message"] as? [String: Any])
            #expect(message?["content"] as? String == "The capital of France is Paris.")

            let streamed = try await Self.post(
                port, "/v1/chat/completions",
                Self.question + #", "stream": true, "stream_options": {"include_usage": true}}"#)
            #expect(streamed.headers["content-type"]?.hasPrefix("text/event-stream") == true)
            #expect(streamed.body.hasSuffix("data: [DONE]\n\n"))
            let events = streamed.events
            #expect(Set(events.map { $0["id"] as? String }).count == 1)
            let choices = events.compactMap { ($0["choices"] as? [[String: Any]])?.first }
            let deltas = choices.compactMap { $0["delta"] as? [String: Any] }
            #expect(deltas.first?["role"] as? String == "assistant")
            #expect(deltas.first?["content"] as? String == "")
            #expect(deltas.dropFirst().allSatisfy { $0["role"] == nil })
            #expect(deltas.compactMap { $0["content"] as? String }.joined() == "The capital of France is Paris.")
            #expect(choices.dropLast().allSatisfy { $0["finish_reason"] is NSNull })
            #expect(choices.last?["finish_reason"] as? String == "stop")
            #expect(deltas.last?.isEmpty == true)
            let usage = try #require(events.last?["usage"] as? [String: Any])
            #expect((events.last?["choices"] as? [Any])?.isEmpty == true)
            let expected = try #require(whole.json?["usage"] as? [String: Any])
            #expect(usage["completion_tokens"] as? Int == expected["completion_tokens"] as? Int)

            let metrics = try await Self.get(port, "/metrics").body
            #expect(
                metrics.contains("martlet:request_success_total{finished_reason=\"stop\",model_name=\"SmolLM2\"} 2"))
            #expect(metrics.contains("martlet:time_to_first_token_seconds_count{model_name=\"SmolLM2\"} 2"))
            #expect(metrics.contains("martlet:num_requests_running{model_name=\"SmolLM2\"} 0"))
            #expect(!metrics.contains("nan"))
            let statistics = await llm.statistics
            let steps = "martlet:iteration_tokens_total"
            #expect(metrics.contains("\(steps)_count{model_name=\"SmolLM2\"} \(statistics.steps)\n"))
            #expect(metrics.contains("\(steps)_sum{model_name=\"SmolLM2\"} \(Double(statistics.computedTokens))\n"))
            #expect(metrics.contains("\(steps)_bucket{le=\"+Inf\",model_name=\"SmolLM2\"} \(statistics.steps)\n"))
            // All but the first step, which computes the prompt, had one token: the second prompt was cached.
            #expect(metrics.contains("\(steps)_bucket{le=\"1.0\",model_name=\"SmolLM2\"} \(statistics.steps - 1)\n"))
            #expect(metrics.contains("\(steps)_bucket{le=\"16384.0\",model_name=\"SmolLM2\"} \(statistics.steps)\n"))
        }
    }

    @Test func severalPromptsStreamInterleaved() async throws {
        try await Self.withServer { port, _, _ in
            let body = #"{"prompt": ["One, two,", "Red, green,"], "max_tokens": 5, "temperature": 0, "logprobs": 1"#
            let whole = try await Self.post(port, "/v1/completions", body + "}")
            let streamed = try await Self.post(port, "/v1/completions", body + #", "stream": true}"#)
            let choices = streamed.events.compactMap { ($0["choices"] as? [[String: Any]])?.first }
            for (index, choice) in try #require(whole.json?["choices"] as? [[String: Any]]).enumerated() {
                let parts = choices.filter { $0["index"] as? Int == index }
                #expect(parts.compactMap { $0["text"] as? String }.joined() == choice["text"] as? String)
                let offsets = parts.flatMap { ($0["logprobs"] as? [String: Any])?["text_offset"] as? [Int] ?? [] }
                #expect(offsets == (choice["logprobs"] as? [String: Any])?["text_offset"] as? [Int])
                #expect(parts.last?["finish_reason"] as? String == "length")
            }
        }
    }

    @Test func severalAnswersAreStreamedByIndex() async throws {
        try await Self.withServer { port, _, _ in
            let body =
                Self.question.replacing(#""temperature": 0"#, with: #""temperature": 1, "seed": 5, "n": 3"#)
                + #", "max_tokens": 12"#
            let whole = try await Self.post(port, "/v1/chat/completions", body + "}")
            let streamed = try await Self.post(port, "/v1/chat/completions", body + #", "stream": true}"#)
            let chunks = streamed.events.compactMap { ($0["choices"] as? [[String: Any]])?.first }
            for choice in try #require(whole.json?["choices"] as? [[String: Any]]) {
                let parts = chunks.filter { $0["index"] as? Int == choice["index"] as? Int }
                let deltas = parts.compactMap { $0["delta"] as? [String: Any] }
                #expect(deltas.count { $0["role"] != nil } == 1)
                let text = deltas.compactMap { $0["content"] as? String }.joined()
                #expect(text == (choice["message"] as? [String: Any])?["content"] as? String)
                #expect(parts.last?["finish_reason"] as? String == choice["finish_reason"] as? String)
            }
        }
    }

    @Test func callsAreStreamed() async throws {
        try await Self.withServer { port, _, _ in
            let response = try await Self.post(
                port, "/v1/chat/completions",
                #"""
                {"messages": [{"role": "user", "content": "What is the weather in Paris?"}], "stream": true, "max_tokens": 100,
                "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object",
                "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}}}],
                "tool_choice": "required", "parallel_tool_calls": false, "seed": 1}
                """#)
            let choices = response.events.compactMap { ($0["choices"] as? [[String: Any]])?.first }
            let deltas = choices.compactMap { $0["delta"] as? [String: Any] }
            let calls = deltas.compactMap { ($0["tool_calls"] as? [[String: Any]])?.first }
            #expect(calls.allSatisfy { $0["index"] as? Int == 0 })
            #expect(calls.count { $0["id"] != nil } == 1)
            let functions = calls.compactMap { $0["function"] as? [String: Any] }
            #expect(functions.first?["name"] as? String == "get_weather")
            let arguments = functions.compactMap { $0["arguments"] as? String }.joined()
            #expect((try? json(arguments))?["city"]?.asString != nil, "\(arguments)")
            #expect(deltas.dropFirst().allSatisfy { $0["content"] == nil })
            #expect(choices.last?["finish_reason"] as? String == "tool_calls")
        }
    }

    @Test func textsHaveEmbeddings() async throws {
        try await Self.withServer { port, llm, _ in
            let texts = ["The cat sits on the mat.", "A dog runs.", "Ein Hund läuft."]
            let expected = try await llm.embed(texts.map(Prompt.text))
            let body = #"{"model": "SmolLM2", "input": ["The cat sits on the mat.", "A dog runs.", "Ein Hund läuft."]"#
            let floats = try await Self.post(port, "/v1/embeddings", body + "}")
            #expect(floats.status == 200 && floats.json?["object"] as? String == "list")
            let data = try #require(floats.json?["data"] as? [[String: Any]])
            #expect(data.map { $0["index"] as? Int } == [0, 1, 2])
            for (entry, embedding) in zip(data, expected) {
                let vector = try #require(entry["embedding"] as? [Double]).map { Float($0) }
                #expect(vector == embedding.vector, "no digit is lost")
                let length = vector.reduce(0.0) { $0 + Double($1) * Double($1) }
                #expect(abs(length - 1) < 1e-6)
            }
            let usage = try #require(floats.json?["usage"] as? [String: Int])
            let count = texts.reduce(0) { $0 + llm.tokenize($1).count }
            #expect(usage == ["prompt_tokens": count, "total_tokens": count])

            let base64 = try await Self.post(port, "/v1/embeddings", body + #", "encoding_format": "base64"}"#)
            let texts64 = try #require(base64.json?["data"] as? [[String: Any]]).compactMap {
                $0["embedding"] as? String
            }
            for (text, embedding) in zip(texts64, expected) {
                let bytes = try #require(Data(base64Encoded: text))
                let vector = stride(from: 0, to: bytes.count, by: 4).map { offset in
                    Float(bitPattern: bytes[offset..<offset + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) })
                }
                #expect(vector == embedding.vector)
            }
            #expect(texts64.count == 3)

            let tokens = llm.tokenize(texts[0]).map(String.init).joined(separator: ", ")
            for input in ["[\(tokens)]", "[[\(tokens)]]", "\"\(texts[0])\""] {
                let one = try await Self.post(port, "/v1/embeddings", "{\"input\": \(input), \"dimensions\": 576}")
                let vector = (one.json?["data"] as? [[String: Any]])?.first?["embedding"] as? [Double]
                #expect(vector?.map { Float($0) } == expected[0].vector, "\(input)")
            }

            let ollama = try await Self.post(
                port, "/api/embed", #"{"model": "SmolLM2:latest", "input": "A dog runs."}"#)
            #expect((ollama.json?["embeddings"] as? [[Double]])?.first?.map { Float($0) } == expected[1].vector)
            let older = try await Self.post(port, "/api/embeddings", #"{"model": "SmolLM2", "prompt": "A dog runs."}"#)
            #expect((older.json?["embedding"] as? [Double])?.map { Float($0) } == expected[1].vector)
            // Ollama's routes shorten texts unless told not to; OpenAI's never does.
            let long = "\"" + String(repeating: "word ", count: 2000) + "\""
            #expect(
                try await Self.post(port, "/api/embed", "{\"input\": \(long)}").json?["prompt_eval_count"] as? Int
                    == 1024)
            #expect(try await Self.post(port, "/api/embed", "{\"input\": \(long), \"truncate\": false}").status == 400)
            let refused = try await Self.post(port, "/v1/embeddings", "{\"input\": \(long)}")
            #expect(refused.error?["code"] as? String == "context_length_exceeded")

            for (fields, parameter) in [
                ("{}", "input"), (#"{"input": ""}"#, "input"), (#"{"input": []}"#, "input"),
                (#"{"input": [[]]}"#, "input"),
                (#"{"input": 5}"#, "input"), (#"{"input": ["a", {}]}"#, "input[1]"), (#"{"input": [49152]}"#, "input"),
                (#"{"input": [-1]}"#, "input"), (#"{"input": "a", "encoding_format": "hex"}"#, "encoding_format"),
                (#"{"input": "a", "dimensions": 64}"#, "dimensions"), (#"{"input": "a", "model": "gpt"}"#, "model"),
                (#"{"input": "a", "truncate_prompt_tokens": 3}"#, "truncate_prompt_tokens"),
                ("{\"input\": [" + Array(repeating: "\"a\"", count: 2049).joined(separator: ",") + "]}", "input"),
            ] {
                let response = try await Self.post(port, "/v1/embeddings", fields)
                #expect(response.error?["param"] as? String == parameter, "\(fields.prefix(60)): \(response.body)")
                #expect(response.status == (parameter == "model" ? 404 : 400))
            }
            let unknown = try await Self.post(port, "/v1/embeddings", #"{"input": "a", "colour": 1}"#)
            #expect(unknown.headers["x-martlet-warning"]?.contains("colour") == true)
        }
    }

    @Test func everyRouteIsDescribedAndWantsAKey() async throws {
        var setup = Setup()
        setup.options.apiKeys = ["secret"]
        try await Self.withServer(setup) { port, _, _ in
            for route in OpenAPI.paths {
                let path = route.path.replacing("{model}", with: "SmolLM2")
                let request = HTTPClient.request(route.method.uppercased(), path, body: "{}")
                let without = try await HTTPClient.exchange(port: port, request)
                #expect(without.status == (route.isOpen ? 200 : 401), "\(route.path)")
                let with = HTTPClient.request(
                    route.method.uppercased(), path, body: "{}", headers: ["Authorization": "Bearer secret"])
                let status = try await HTTPClient.exchange(port: port, with).status
                #expect([200, 400].contains(status), "\(route.path): \(status)")
            }
            for path in ["/", "/docs"] {
                let page = try await Self.get(port, path)
                #expect(page.status == 200 && page.headers["content-security-policy"] != nil)
                #expect(!page.body.contains("http://") && !page.body.contains("https://"))
            }
            let description = try await Self.get(port, "/openapi.json", ["Authorization": "Bearer secret"]).json
            #expect((description?["paths"] as? [String: Any])?.count == OpenAPI.paths.count)
            let components = description?["components"] as? [String: Any]
            #expect((components?["schemas"] as? [String: Any])?.count ?? 0 > 10)
        }
    }

    @Test func pagesOfListedOriginsMayCall() async throws {
        var setup = Setup()
        setup.options.allowedOrigins = ["https://chat.example.org"]
        try await Self.withServer(setup) { port, _, _ in
            let origin = ["Origin": "https://chat.example.org"]
            let models = try await Self.get(port, "/v1/models", origin)
            #expect(models.status == 200)
            #expect(models.headers["access-control-allow-origin"] == "https://chat.example.org")
            for path in ["/v1/chat/completions", "/ready"] {
                let preflight = HTTPClient.request(
                    "OPTIONS", path,
                    headers: origin.merging([
                        "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization",
                    ]) { $1 })
                let answer = try await HTTPClient.exchange(port: port, preflight)
                #expect(answer.status == 204 && answer.headers["access-control-allow-headers"] == "authorization")
            }
            let other = try await Self.get(port, "/v1/models", ["Origin": "https://evil.example.org"])
            #expect(other.status == 403 && other.headers["access-control-allow-origin"] == nil)
        }
        setup.options.allowedOrigins = ["*", "https://chat.example.org:443"]
        #expect(AccessControl(setup.options).isListed("null"))
        setup.options.allowedOrigins.removeFirst()
        #expect(AccessControl(setup.options).isListed("https://Chat.example.org"))
        #expect(!AccessControl(setup.options).isListed("https://chat.example.org:80"))
    }

    @Test func requestsHaveDeadlines() async throws {
        var setup = Setup()
        setup.options.requestTimeout = .milliseconds(300)
        setup.load.contextLength = 4096
        try await Self.withServer(setup) { port, llm, _ in
            let start = ContinuousClock.now
            let late = try await Self.post(port, "/v1/completions", Self.endless + #", "max_tokens": 4000}"#)
            #expect(late.status == 408 && late.error?["code"] as? String == "timeout")
            #expect(ContinuousClock.now - start < .seconds(3))
            #expect(await llm.statistics.runningRequests == 0)
            let metrics = try await Self.get(port, "/metrics").body
            #expect(
                metrics.contains(
                    "martlet:request_success_total{finished_reason=\"timed_out\",model_name=\"SmolLM2\"} 1"))
            #expect(metrics.contains("\nprocess_open_fds ") && metrics.contains("\nprocess_resident_memory_bytes "))
        }
    }

    @Test func unknownFieldsCanBeErrors() async throws {
        var setup = Setup()
        setup.options.refusesUnknownFields = true
        try await Self.withServer(setup) { port, _, _ in
            let response = try await Self.post(port, "/v1/chat/completions", Self.question + #", "colour": 1}"#)
            #expect(response.status == 400)
            #expect(response.error?["param"] as? String == "colour")
            #expect(response.error?["code"] as? String == "unknown_parameter")
        }
    }

    /// Requests that say something that is not heard.
    private static let unheard: [(path: String, body: String, field: String)] = [
        ("/v1/messages/count_tokens", #"{"messages": [{"role": "user", "content": "x"}], "colour": 1}"#, "colour"),
        (
            "/api/generate", #"{"prompt": "x", "stream": false, "options": {"num_predict": 1, "repeat_last_n": 64}}"#,
            "options.repeat_last_n"
        ),
        ("/api/show", #"{"model": "SmolLM2", "colour": 1}"#, "colour"),
        ("/api/show", #"{"model": "SmolLM2", "verbose": true}"#, "verbose"),
        ("/tokenize", #"{"prompt": "x", "colour": 1}"#, "colour"),
        ("/detokenize", #"{"tokens": [504], "colour": 1}"#, "colour"),
        ("/apply-template", #"{"messages": [{"role": "user", "content": "x"}], "colour": 1}"#, "colour"),
    ]

    @Test(arguments: [false, true]) func everyRouteNamesWhatItDoesNotHear(isStrict: Bool) async throws {
        var setup = Setup()
        setup.options.refusesUnknownFields = isStrict
        try await Self.withServer(setup) { port, _, _ in
            for (path, body, field) in Self.unheard {
                let response = try await Self.post(port, path, body)
                if isStrict {
                    let message = response.error?["message"] as? String ?? response.json?["error"] as? String
                    #expect(response.status == 400 && message?.contains("'\(field)'") == true, "\(path)")
                } else {
                    #expect(response.status == 200, "\(path): \(response.body.prefix(200))")
                    #expect(response.headers["x-martlet-warning"] == "unknown fields were ignored: \(field)", "\(path)")
                }
            }
            // As Ollama's own client asks.
            let show = #"{"model": "SmolLM2", "system": "", "template": "", "verbose": false, "options": null}"#
            let shown = try await Self.post(port, "/api/show", show)
            #expect(shown.status == 200 && shown.headers["x-martlet-warning"] == nil)
            // Which of the two is meant is not guessed.
            let both = try await Self.post(
                port, "/tokenize", #"{"prompt": "x", "messages": [{"role": "user", "content": "y"}]}"#)
            #expect(both.status == 400 && both.error?["param"] as? String == "messages")
        }
    }

    static let badBodies: [(body: String, status: Int, code: String)] = [
        ("", 400, "invalid_json"), ("{", 400, "invalid_json"), ("{\"a\": \"\\ud800\"}", 400, "invalid_json"),
        ("{\"a\": 1, \"a\": 2}", 400, "invalid_json"), ("\u{FEFF}{}", 400, "invalid_json"),
        (String(repeating: "[", count: 100_000), 400, "invalid_json"), ("{}", 400, "missing_required_parameter"),
        (#"{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}"#, 400, "invalid_type"),
        (#"{"messages": [{"role": "user", "content": "x"}], "temperature": -1, "stream": true}"#, 400, "invalid_value"),
        (
            #"{"messages": [{"role": "user", "content": "x"}], "logit_bias": {"99999": 1}, "stream": true}"#, 400,
            "invalid_value"
        ),
        (#"{"model": "gpt-4o", "messages": []}"#, 404, "model_not_found"),
    ]

    @Test func badRequestsGetOpenAIsErrors() async throws {
        var setup = Setup()
        setup.options.limits.bodyBytes = 200_000
        try await Self.withServer(setup) { port, _, _ in
            for (body, status, code) in Self.badBodies {
                let response = try await Self.post(port, "/v1/chat/completions", body)
                #expect(response.status == status, "\(body.prefix(50))")
                #expect(response.error?["code"] as? String == code)
                #expect(response.error?["type"] as? String == "invalid_request_error")
                #expect((response.error?["message"] as? String)?.isEmpty == false)
                #expect(response.error?.keys.contains("param") == true)
            }
            let large = try await Self.post(port, "/v1/completions", String(repeating: " ", count: 200_001))
            #expect(large.status == 413)
            let chunked = HTTPClient.request(
                "POST", "/v1/completions",
                headers: ["Transfer-Encoding": "chunked", "Content-Type": "application/json"])
            let chunk = Array("40000\r\n".utf8) + [UInt8](repeating: 32, count: 0x40000) + Array("\r\n0\r\n\r\n".utf8)
            #expect(try await HTTPClient.exchange(port: port, chunked + chunk).status == 413)
            let form = try await Self.post(port, "/v1/completions", "{}", ["Content-Type": "text/plain"])
            #expect(form.status == 415)
        }
    }

    @Test func keysAreWanted() async throws {
        var setup = Setup()
        setup.options.apiKeys = ["first", "second-key"]
        try await Self.withServer(setup) { port, _, _ in
            for path in ["/v1/models", "/metrics", "/version", "/nowhere", "/v1/models/x"] {
                for headers in [
                    [:], ["Authorization": "Bearer "], ["Authorization": "Bearer firs"],
                    ["Authorization": "Basic first"],
                    ["Authorization": "Bearer firstfirst"], ["X-Api-Key": "FIRST"],
                ] {
                    let response = try await Self.get(port, path, headers)
                    #expect(response.status == 401)
                    #expect(response.error?["code"] as? String == "invalid_api_key")
                }
            }
            for headers in [
                ["Authorization": "Bearer first"], ["authorization": "bearer second-key"], ["X-Api-Key": "first"],
            ] {
                #expect(try await Self.get(port, "/v1/models", headers).status == 200)
            }
            #expect(try await Self.get(port, "/health").status == 200)
            #expect(try await Self.post(port, "/v1/chat/completions", "{}").status == 401)
        }
    }

    /// Whoever asks for much does not hold up who asks for little: keys get equal shares, or addresses where there are no keys.
    @Test(arguments: [true, false]) func clientsGetEqualShares(haveKeys: Bool) async throws {
        var setup = Setup()
        if haveKeys { setup.options.apiKeys = ["first", "second"] }
        setup.load.maxRequests = 1
        try await Self.withServer(setup) { port, llm, _ in
            @Sendable func post(_ client: Int, maxTokens: Int) async throws -> ContinuousClock.Instant {
                let key = haveKeys ? ["Authorization": client == 1 ? "Bearer first" : "Bearer second"] : [:]
                let body = Self.endless + ", \"max_tokens\": \(maxTokens)}"
                let request = HTTPClient.request("POST", "/v1/completions", body: body, headers: key)
                let response = try await HTTPClient.exchange(port: port, from: haveKeys ? 1 : UInt8(client), request)
                #expect(response.status == 200)
                return .now
            }
            let many = (0..<6).map { _ in Task { try await post(1, maxTokens: 100) } }
            while await llm.statistics.waitingRequests < 3 { try await Task.sleep(for: .milliseconds(1)) }
            let few = try await post(2, maxTokens: 4)
            var later = 0
            for task in many where try await task.value > few { later += 1 }
            #expect(later >= 2, "behind the one that runs, and not behind all")
        }
    }

    /// Nothing but the open paths, spelled exactly, is there without a key, whatever the method.
    @Test func oddSpellingsOfPathsNeedAKeyToo() async throws {
        var setup = Setup()
        setup.options.apiKeys = ["secret"]
        try await Self.withServer(setup) { port, _, _ in
            for path in [
                "/v1/models/", "//v1/models", "/v1//models", "/metrics/", "//metrics", "/./metrics", "/METRICS",
                "/%6detrics",
                "/health/", "//health", "/health/../metrics", "/health/..%2fmetrics", "/health%2f..%2fmetrics",
                "/health;/metrics",
                "/healthz", "/docs/../metrics", "/ready/x", "http://localhost/metrics", "/metrics?/health",
                "/v1/models/%2e%2e/%00",
            ] {
                for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
                    let request = HTTPClient.request(method, path, headers: ["Access-Control-Request-Method": "GET"])
                    let response = try await HTTPClient.exchange(port: port, request)
                    #expect([401, 400].contains(response.status), "\(method) \(path): \(response.status)")
                    #expect(!response.body.contains("martlet:"))
                }
            }
        }
    }

    @Test func otherSitesAreKeptOut() async throws {
        var setup = Setup()
        setup.options.allowedHosts = ["box.example"]
        try await Self.withServer(setup) { port, _, _ in
            for host in ["localhost.evil.com", "evil.com:\(port)", "169.254.169.254", "box.example.evil.com"] {
                let status = try await Self.get(port, "/v1/models", ["Host": host]).status
                #expect(status == 403)
            }
            for host in ["localhost:\(port)", "127.0.0.1", "[::1]:80", "LOCALHOST", "box.example:1"] {
                let status = try await Self.get(port, "/v1/models", ["Host": host]).status
                #expect(status == 200)
            }
            for origin in ["http://evil.com", "null", "https://localhost.evil.com"] {
                let status = try await Self.get(port, "/v1/models", ["Origin": origin]).status
                #expect(status == 403)
            }
            let status = try await Self.get(port, "/v1/models", ["Origin": "http://localhost:3000"]).status
            #expect(status == 200)
        }
    }

    @Test(arguments: [true, false]) func aClientThatLeavesEndsItsRequest(streams: Bool) async throws {
        try await Self.withServer { port, llm, _ in
            let body = Self.endless + ", \"max_tokens\": 1000, \"stream\": \(streams)}"
            for _ in 0..<5 {
                let client = try await HTTPClient.onThread {
                    let client = try HTTPClient(port: port)
                    try client.send(HTTPClient.request("POST", "/v1/completions", body: body))
                    if streams { _ = try client.receive { $0.count > 1000 } }
                    return client
                }
                while await llm.statistics.runningRequests == 0 { try await Task.sleep(for: .milliseconds(1)) }
                client.disconnect()
                let start = ContinuousClock.now
                while await llm.statistics.runningRequests > 0 { try await Task.sleep(for: .milliseconds(1)) }
                #expect(ContinuousClock.now - start < .milliseconds(500))
            }
            #expect(await llm.statistics.cancelledRequests == 5)
        }
    }

    @Test func aFullQueueIsRefused() async throws {
        var setup = Setup()
        setup.engine.maxQueuedRequests = 1
        setup.load.maxRequests = 1
        try await Self.withServer(setup) { port, _, _ in
            let body = Self.endless + ", \"max_tokens\": 300}"
            let responses = try await withThrowingTaskGroup(of: HTTPClient.Response.self) { group in
                for _ in 0..<8 { group.addTask { try await Self.post(port, "/v1/completions", body) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(Set(responses.map(\.status)) == [200, 429])
            // One runs and one waits, however close together they come.
            #expect(responses.count { $0.status == 200 } >= 2)
            for response in responses where response.status == 429 {
                #expect(response.error?["code"] as? String == "rate_limit_exceeded")
                #expect((1...60).contains(Int(response.headers["retry-after"] ?? "") ?? 0))
            }
        }
    }

    /// Whoever finds no place is told so before anything is read or computed for it, and the time that it takes is counted.
    @Test func aFullQueueReadsNothing() async throws {
        var setup = Setup()
        setup.engine.maxQueuedRequests = 1
        setup.load.maxRequests = 1
        try await Self.withServer(setup) { port, llm, _ in
            let body = Self.endless + ", \"max_tokens\": 900}"
            let first = Task { try await Self.post(port, "/v1/completions", body).status }
            while await llm.statistics.runningRequests == 0 { try await Task.sleep(for: .milliseconds(1)) }
            let second = Task { try await Self.post(port, "/v1/completions", body).status }
            while await llm.statistics.waitingRequests == 0 { try await Task.sleep(for: .milliseconds(1)) }
            for path in ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/api/chat"] {
                #expect(try await Self.post(port, path, "no JSON").status == 429, "\(path)")
            }
            // What does not wait for the engine is answered as ever.
            #expect(try await Self.post(port, "/tokenize", "no JSON").status == 400)
            let metrics = try await Self.get(port, "/metrics").body
            #expect(metrics.contains("martlet:request_refusal_time_seconds_count{model_name=\"SmolLM2\"} 5\n"))
            #expect(metrics.contains("request_success_total{finished_reason=\"rejected\",model_name=\"SmolLM2\"} 5\n"))
            let statuses = [try await first.value, try await second.value]
            #expect(statuses == [200, 200])
        }
    }

    @Test func shutdownFinishesStreams() async throws {
        try await Self.withServer { port, llm, stop in
            let body = Self.endless + ", \"max_tokens\": 400, \"stream\": true}"
            let streams = (0..<4).map { _ in Task { try await Self.post(port, "/v1/completions", body) } }
            while await llm.statistics.runningRequests < 4 { try await Task.sleep(for: .milliseconds(1)) }
            let stopping = Task { await stop() }
            // New requests are refused while the old ones go on.
            while try await Self.get(port, "/ready").status == 200 { try await Task.sleep(for: .milliseconds(1)) }
            let refused = try await Self.post(port, "/v1/completions", body)
            #expect(refused.status == 503)
            #expect(refused.error?["code"] as? String == "service_unavailable")
            for stream in streams {
                let response = try await stream.value
                #expect(response.body.hasSuffix("data: [DONE]\n\n"))
            }
            await stopping.value
        }
    }

    /// A list of which the engine has a part at a time is answered as a whole.
    @Test(arguments: [false, true]) func shutdownFinishesLists(streams: Bool) async throws {
        var setup = Setup()
        setup.load.maxRequests = 1
        try await Self.withServer(setup) { port, llm, stop in
            let prompts = Array(repeating: #""Once upon a time""#, count: 8).joined(separator: ",")
            let body = "{\"prompt\": [\(prompts)]," + #""max_tokens": 40, "ignore_eos": true, "stream": \#(streams)}"#
            let list = Task { try await Self.post(port, "/v1/completions", body) }
            while await llm.statistics.generatedTokens < 10 { try await Task.sleep(for: .milliseconds(1)) }
            await stop()
            let response = try await list.value
            #expect(response.status == 200)
            let choices =
                streams
                ? response.events.compactMap { ($0["choices"] as? [[String: Any]])?.first }
                : response.json?["choices"] as? [[String: Any]] ?? []
            #expect(choices.count { $0["finish_reason"] as? String == "length" } == 8)
            #expect(await llm.statistics.acceptedRequests == 8)
        }
    }

    /// Every request that the engine takes is counted once when it ends, however it ends.
    @Test(arguments: [false, true]) func endsAreCountedOnce(streams: Bool) async throws {
        var setup = Setup()
        setup.load.maxRequests = 1
        try await Self.withServer(setup) { port, llm, _ in
            let stream = "\"stream\": \(streams)"
            let ids = llm.tokenize(" Paris", addSpecialTokens: false)
            let impossible = "\"allowed_token_ids\": \(ids), \"bad_words\": [\"Paris\"]"
            for (body, status) in [
                (#"{"prompt": ["One", "Two", "Three"], "max_tokens": 2, "ignore_eos": true"#, 200),
                ("{\"prompt\": \"One\", \(impossible)", 400),
                ("{\"prompt\": [\"One\", \"Two\", \"Three\"], \(impossible)", 400),
            ] {
                let response = try await Self.post(port, "/v1/completions", "\(body), \(stream)}")
                #expect(response.status == status, "\(body)")
            }
            // The client leaves while a part of the list runs, a part waits, and a part is not there yet.
            let client = try await HTTPClient.onThread {
                let client = try HTTPClient(port: port)
                let prompts = Array(repeating: #""Once""#, count: 8).joined(separator: ",")
                let body = "{\"prompt\": [\(prompts)], \"ignore_eos\": true, \"max_tokens\": 900, \(stream)}"
                try client.send(HTTPClient.request("POST", "/v1/completions", body: body))
                return client
            }
            while await llm.statistics.runningRequests == 0 { try await Task.sleep(for: .milliseconds(1)) }
            client.disconnect()
            while await llm.statistics.runningRequests > 0 { try await Task.sleep(for: .milliseconds(1)) }
            var ends: [String: Int] = [:]
            let accepted = await llm.statistics.acceptedRequests
            repeat {
                try await Task.sleep(for: .milliseconds(10))
                ends = try await Self.ends(port)
            } while ends.values.reduce(0, +) < accepted
            #expect(ends.values.reduce(0, +) == accepted, "\(ends)")
            #expect(ends["length"] == 3 && ends["error"] ?? 0 >= 2 && ends["abort"] ?? 0 >= 1, "\(ends)")
            let statistics = await llm.statistics
            let sum = statistics.finishedRequests + statistics.cancelledRequests + statistics.failedRequests
            #expect(sum == statistics.acceptedRequests)
        }
    }

    /// `request_success_total` by reason.
    private static func ends(_ port: Int) async throws -> [String: Int] {
        try await get(port, "/metrics").body.matches(
            of: /request_success_total\{finished_reason="([a-z_]+)".*\} ([0-9]+)/
        ).reduce(into: [:]) { $0[String($1.1)] = Int($1.2) }
    }

    @Test func dashboardsOfVLLMFit() async throws {
        var setup = Setup()
        setup.options.usesMetricNamesOfVLLM = true
        try await Self.withServer(setup) { port, llm, _ in
            let body = #"{"prompt": "Once", "n": 2, "max_tokens": 3, "ignore_eos": true}"#
            #expect(try await Self.post(port, "/v1/completions", body).status == 200)
            let metrics = try await Self.get(port, "/metrics").body
            let labels = #"engine="0",model_name="SmolLM2""#
            let rows = await llm.statistics.cacheRows
            for line in [
                "vllm:request_params_n_sum{\(labels)} 2.0", "vllm:request_params_n_count{\(labels)} 1",
                "vllm:request_max_num_generation_tokens_sum{\(labels)} 3.0",
                "vllm:request_max_num_generation_tokens_count{\(labels)} 1",
                "vllm:request_params_max_tokens_sum{\(labels)} 6.0",
                "vllm:request_inference_time_seconds_count{\(labels)} 2",
                "vllm:cache_config_info{block_size=\"1\",num_gpu_blocks=\"\(rows)\",\(labels)} 1",
                "vllm:num_requests_running{\(labels)} 0", "martlet:request_refusal_time_seconds_count{\(labels)} 0",
                "martlet:http_requests_total{status=\"200\",\(labels)} 1",
            ] {
                #expect(metrics.contains(line + "\n"), "\(line)")
            }
            #expect(!metrics.contains("vllm:http") && !metrics.contains("vllm:request_refusal"))
        }
    }

    @Test func shutdownDoesNotWaitForEver() async throws {
        var setup = Setup()
        setup.options.drainTimeout = .milliseconds(100)
        setup.load.contextLength = 4096
        try await Self.withServer(setup) { port, llm, stop in
            let body = Self.endless + ", \"max_tokens\": 4000, \"stream\": true}"
            let stream = Task { try await Self.post(port, "/v1/completions", body) }
            while await llm.statistics.generatedTokens < 4 { try await Task.sleep(for: .milliseconds(1)) }
            await stop()
            let response = try await stream.value
            #expect(response.events.last?["error"] != nil)
        }
    }

    @Test func keysAreComparedWhole() {
        #expect(Self.compare("abc", "abc"))
        for (given, key) in [("", "a"), ("a", ""), ("", ""), ("abcabc", "abc"), ("ab", "abc"), ("abd", "abc")] {
            #expect(!Self.compare(given, key))
        }
    }

    private static func compare(_ given: String, _ key: String) -> Bool {
        AccessControl.areEqual(Array(given.utf8), Array(key.utf8))
    }
}
