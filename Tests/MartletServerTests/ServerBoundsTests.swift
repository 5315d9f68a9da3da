import Foundation
import Martlet
import MartletJinja
import TestSupport
import Testing

@testable import MartletServer

/// Clients that ask too much, or don't take what they asked for.
@Suite(.enabled(if: TestModel.isPresent, Comment(rawValue: TestModel.absence)), .serialized, .timeLimit(.minutes(2)))
struct ServerBoundsTests {
    private static func exchange(
        _ port: Int, _ method: String, _ path: String, _ body: String? = nil, _ headers: [String: String] = [:]
    ) async throws -> HTTPClient.Response {
        try await HTTPClient.exchange(
            port: port, HTTPClient.request(method, path, body: body, headers: headers))
    }

    @Test func largeHeadsAreRefused() async throws {
        try await ServerTests.withServer { port, _, _ in
            let many = Dictionary(uniqueKeysWithValues: (0..<200).map { ("X-\($0)", "a") })
            for headers in [["X-Long": String(repeating: "a", count: 32 << 10)], many] {
                let response = try await Self.exchange(port, "GET", "/health", nil, headers)
                #expect(response.status == 431)
                #expect(response.error?["code"] as? String == "request_header_fields_too_large")
            }
        }
    }

    @Test func methodsAreNamed() async throws {
        try await ServerTests.withServer { port, _, _ in
            #expect(try await Self.exchange(port, "GET", "/v1/completions").headers["allow"] == "POST")
            #expect(try await Self.exchange(port, "DELETE", "/v1/models").headers["allow"] == "GET, HEAD")
            let head = try await Self.exchange(port, "HEAD", "/health")
            #expect(head.status == 200 && head.body.isEmpty && head.headers["content-length"] == "15")
        }
    }

    @Test func whoDoesNotReadIsLetGo() async throws {
        var setup = ServerTests.Setup()
        setup.load.contextLength = 4096
        setup.load.maxRequests = 8
        try await ServerTests.withServer(setup) { port, llm, _ in
            let body =
                #"{"prompt": "Once", "ignore_eos": true, "max_tokens": 4000, "stream": true, "logprobs": 20, "n": 8}"#
            let client = try await HTTPClient.onThread {
                let client = try HTTPClient(port: port)
                try client.send(HTTPClient.request("POST", "/v1/completions", body: body))
                return client
            }
            while await llm.statistics.runningRequests == 0 { try await Task.sleep(for: .milliseconds(1)) }
            while await llm.statistics.runningRequests > 0 { try await Task.sleep(for: .milliseconds(5)) }
            #expect(await llm.statistics.cancelledRequests == 8)
            client.disconnect()
        }
    }

    /// The first part of an answer may be larger than what may wait for a slow client.
    @Test func longEchoesAreNoBacklog() async throws {
        var setup = ServerTests.Setup()
        setup.load.contextLength = 4096
        try await ServerTests.withServer(setup) { port, _, _ in
            let tokens = (0..<2_500).map { String(1_000 + $0) }.joined(separator: ",")
            let body =
                "{\"prompt\": [\(tokens)]," + #""echo": true, "logprobs": 20, "max_tokens": 1, "stream": true}"#
            let response = try await Self.exchange(port, "POST", "/v1/completions", body)
            #expect(response.status == 200 && response.body.contains("data: [DONE]"))
        }
    }

    /// What a list's first entry has waited for, the others need not wait for again.
    @Test(arguments: [false, true]) func listsWaitForTheirTurnOnce(streams: Bool) async throws {
        var setup = ServerTests.Setup()
        setup.load.maxRequests = 1
        setup.engine.maxQueuedRequests = 2
        setup.options.queueTimeout = .milliseconds(200)
        try await ServerTests.withServer(setup) { port, _, _ in
            // More than ever run and wait at once, and for much longer than the limit.
            let prompts = Array(repeating: #""Once upon a time""#, count: 8).joined(separator: ",")
            let body = "{\"prompt\": [\(prompts)]," + #""max_tokens": 60, "ignore_eos": true, "stream": \#(streams)}"#
            let response = try await Self.exchange(port, "POST", "/v1/completions", body)
            #expect(response.status == 200)
            if streams {
                let choices = response.events.compactMap { ($0["choices"] as? [[String: Any]])?.first }
                #expect(choices.count { $0["finish_reason"] as? String == "length" } == 8)
            } else {
                #expect((response.json?["choices"] as? [Any])?.count == 8)
            }
            // The answers to one prompt are there together, or not at all.
            let several = try await Self.exchange(port, "POST", "/v1/completions", #"{"prompt": "Once", "n": 4}"#)
            #expect(several.status == 400 && several.error?["param"] as? String == "n")
        }
    }

    /// Where its turn does not come, a list is given up as a whole, and at once.
    @Test(arguments: [#""n": 2"#, #""stream": true"#]) func listsWaitForTheirTurnTogether(_ field: String) async throws
    {
        var setup = ServerTests.Setup()
        setup.load.maxRequests = 1
        setup.options.queueTimeout = .milliseconds(200)
        try await ServerTests.withServer(setup) { port, llm, _ in
            let long = Task {
                try await Self.exchange(
                    port, "POST", "/v1/completions", #"{"prompt": "Once", "max_tokens": 900, "ignore_eos": true}"#)
            }
            while await llm.statistics.runningRequests == 0 { try await Task.sleep(for: .milliseconds(1)) }
            let response = try await Self.exchange(
                port, "POST", "/v1/completions", #"{"prompt": ["One", "Two"], \#(field)}"#)
            #expect(response.status == 503)
            #expect(await llm.statistics.runningRequests == 1)
            #expect(await llm.statistics.waitingRequests == 0)
            #expect(try await long.value.status == 200)
        }
    }

    @Test func embeddingsHaveDeadlines() async throws {
        var setup = ServerTests.Setup()
        setup.options.requestTimeout = .milliseconds(300)
        try await ServerTests.withServer(setup) { port, _, _ in
            let text = "\"" + String(repeating: "the sea ", count: 400) + "\""
            let inputs = Array(repeating: text, count: 200).joined(separator: ",")
            let response = try await Self.exchange(port, "POST", "/v1/embeddings", "{\"input\": [\(inputs)]}")
            #expect(response.status == 408)
        }
    }

    @Test func aBodyThatDoesNotComeIsNotWaitedFor() async throws {
        var setup = ServerTests.Setup()
        setup.options.readTimeout = .milliseconds(300)
        try await ServerTests.withServer(setup) { port, _, _ in
            let start = ContinuousClock.now
            let response = try await Self.exchange(
                port, "POST", "/v1/completions", nil, ["Content-Length": "10", "Content-Type": "application/json"])
            #expect(response.status == 408 && response.error?["code"] as? String == "request_timeout")
            #expect((.milliseconds(300)..<(.seconds(5))).contains(ContinuousClock.now - start))
        }
    }

    /// A browser sends a body without a type across origins, and asks nobody first.
    @Test func pagesMustSayThatTheySendJSON() async throws {
        try await ServerTests.withServer { port, _, _ in
            for (path, body) in [
                ("/v1/completions", #"{"prompt": "Once", "max_tokens": 1}"#),
                ("/api/generate", #"{"prompt": "Once", "stream": false, "options": {"num_predict": 1}}"#),
            ] {
                for (headers, status) in [
                    ([:], 200), (["Origin": "http://localhost:3000"], 415),
                    (["Origin": "http://localhost:3000", "Content-Type": "application/json; charset=utf-8"], 200),
                    (["Content-Type": "application/json", "Content-Encoding": "gzip"], 415),
                    (["Content-Type": "application/json", "Content-Encoding": "identity"], 200),
                ] {
                    let length = ["Content-Length": String(body.utf8.count)]
                    let head = HTTPClient.request("POST", path, headers: headers.merging(length) { $1 })
                    let response = try await HTTPClient.exchange(port: port, head + Array(body.utf8))
                    #expect(response.status == status, "\(path) \(headers)")
                }
            }
        }
    }

    @Test func bodiesTakeMemoryAndGiveItBack() async throws {
        var setup = ServerTests.Setup()
        setup.options.bodyMemory = 500_000
        try await ServerTests.withServer(setup) { port, _, _ in
            let body = #"{"prompt": "x"}"#
            // Together they would have taken it all long ago.
            for _ in 0..<4 {
                let fitting = try await Self.exchange(
                    port, "POST", "/tokenize", body + String(repeating: " ", count: 400_000))
                #expect(fitting.status == 200)
                let refused = try await Self.exchange(
                    port, "POST", "/tokenize", body + String(repeating: " ", count: 600_000))
                #expect(refused.status == 503 && refused.headers["retry-after"] == "1")
                #expect(refused.error?["code"] as? String == "service_unavailable")
            }
        }
    }

    @Test func bodiesShareMemory() throws {
        let memory = BodyMemory(limit: 100)
        let (first, second) = (BodyMemory.Share(of: memory), BodyMemory.Share(of: memory))
        try first.take(30)
        try first.take(30)
        try second.take(40)
        #expect(throws: APIError.self) { try second.take(1) }
        second.giveBack()
        second.giveBack()
        #expect(throws: APIError.self) { try second.take(41) }
        try second.take(40)
        first.giveBack()
        try second.take(60)
    }

    /// Whoever finds no place in the queue need not send a body to be told so.
    @Test func aFullQueueWaitsForNoBody() async throws {
        var setup = ServerTests.Setup()
        setup.engine.maxQueuedRequests = 1
        setup.load.maxRequests = 1
        try await ServerTests.withServer(setup) { port, llm, _ in
            let body = #"{"prompt": "Once", "ignore_eos": true, "max_tokens": 900}"#
            let tasks = (0..<2).map { _ in
                Task { try await Self.exchange(port, "POST", "/v1/completions", body).status }
            }
            while await llm.statistics.waitingRequests == 0 { try await Task.sleep(for: .milliseconds(1)) }
            let refused = try await Self.exchange(
                port, "POST", "/v1/completions", nil,
                ["Content-Type": "application/json", "Content-Length": "1000", "Expect": "100-continue"])
            #expect(refused.status == 429)
            for task in tasks { #expect(try await task.value == 200) }
        }
    }

    @Test func whoAsksFirstIsToldToGoOn() async throws {
        var setup = ServerTests.Setup()
        setup.options.limits.bodyBytes = 1000
        try await ServerTests.withServer(setup) { port, _, _ in
            let body = #"{"prompt": "x"}"#
            let headers = ["Content-Type": "application/json", "Expect": "100-Continue"]
            let bytes = try await HTTPClient.onThread {
                let client = try HTTPClient(port: port)
                let length = ["Content-Length": String(body.utf8.count)]
                try client.send(HTTPClient.request("POST", "/tokenize", headers: headers.merging(length) { $1 }))
                let first = try client.receive { $0.suffix(4) == [13, 10, 13, 10] }
                #expect(String(decoding: first, as: UTF8.self) == "HTTP/1.1 100 Continue\r\n\r\n")
                try client.send(Array(body.utf8))
                return try client.receive()
            }
            #expect(try HTTPClient.parse(bytes).json?["count"] as? Int == 1)
            // What is refused is refused at once.
            let large = try await Self.exchange(
                port, "POST", "/tokenize", nil, headers.merging(["Content-Length": "1001"]) { $1 })
            #expect(large.status == 413)
        }
    }

    /// A request for an answer of 10 MB or so, and its length: more than a system keeps for a client that does not read.
    private static func largeRequest(_ llm: LLM) throws -> (body: String, length: Int) {
        let tokens = (0..<llm.vocabularySize).map { ($0, llm.detokenize([$0]).utf8.count) }
        let longest = try #require(tokens.max { $0.1 < $1.1 })
        let count = 10_000_000 / longest.1
        #expect(count < 900_000)
        let body = "{\"tokens\": [" + Array(repeating: String(longest.0), count: count).joined(separator: ",") + "]}"
        return (body, count * longest.1)
    }

    /// A connection is not idle while its answer is on the way.
    @Test func whoReadsSlowlyGetsAll() async throws {
        var setup = ServerTests.Setup()
        setup.options.idleTimeout = .milliseconds(300)
        try await ServerTests.withServer(setup) { port, llm, _ in
            let (body, length) = try Self.largeRequest(llm)
            let bytes = try await HTTPClient.onThread {
                let client = try HTTPClient(port: port, receiveBuffer: 1 << 16)
                let headers = ["Connection": "keep-alive"]
                try client.send(HTTPClient.request("POST", "/detokenize", body: body, headers: headers))
                let start = try client.receive { $0.count > 1000 }
                Thread.sleep(forTimeInterval: 2)
                return start + (try client.receive())
            }
            let response = try HTTPClient.parse(bytes)
            #expect(response.status == 200 && (response.json?["prompt"] as? String)?.utf8.count == length)
        }
    }

    /// Nor does the server's end wait for it for ever.
    @Test func shutdownDoesNotWaitForSlowReaders() async throws {
        try await ServerTests.withServer { port, llm, stop in
            let (body, length) = try Self.largeRequest(llm)
            let client = try await HTTPClient.onThread {
                let client = try HTTPClient(port: port, receiveBuffer: 1 << 16)
                try client.send(HTTPClient.request("POST", "/detokenize", body: body))
                _ = try client.receive { $0.count > 1000 }
                return client
            }
            let start = ContinuousClock.now
            await stop()
            #expect((.seconds(4)..<(.seconds(8))).contains(ContinuousClock.now - start))
            let rest = try await HTTPClient.onThread { (try? client.receive().count) ?? 0 }
            #expect(rest < length)
        }
    }

    @Test func aBodyDoesNotGoOnForEverBehindItsAnswer() async throws {
        try await ServerTests.withServer { port, _, _ in
            let bytes = try await HTTPClient.onThread {
                let client = try HTTPClient(port: port)
                let request = HTTPClient.request(
                    "POST", "/nowhere", headers: ["Content-Length": "1000", "Connection": "keep-alive"])
                try client.send(request)
                let start = ContinuousClock.now
                let bytes = try client.receive {
                    // A byte now and then, as long as that is taken.
                    try? client.send([32])
                    Thread.sleep(forTimeInterval: 0.2)
                    return $0.isEmpty && ContinuousClock.now - start > .seconds(12)
                }
                #expect(ContinuousClock.now - start < .seconds(10))
                return bytes
            }
            #expect(try HTTPClient.parse(bytes).status == 404)
        }
    }

    @Test func whatIsTooLongIsCounted() async throws {
        try await ServerTests.withServer { port, _, _ in
            let text = String(repeating: "bird ", count: 3000)
            let body = "{\"messages\": [{\"role\": \"user\", \"content\": \"\(text)\"}], \"tools\": null}"
            let count = try await Self.exchange(port, "POST", "/v1/messages/count_tokens", body)
            #expect(count.json?["input_tokens"] as? Int ?? 0 > 3000)
            let template = #"{"messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": {"tools": null}}"#
            #expect(try await Self.exchange(port, "POST", "/apply-template", template).status == 200)
        }
    }

    /// Two fields that leave nothing between them are the caller's mistake, not the server's.
    @Test func whatLeavesNoTokenIsRefused() async throws {
        try await ServerTests.withServer { port, llm, _ in
            let ids = llm.tokenize(" Paris", addSpecialTokens: false)
            #expect(ids.count == 1)
            let body =
                "{\"prompt\": \"x\", \"allowed_token_ids\": \(ids), \"bad_words\": [\"Paris\"], \"max_tokens\": 2"
            for streams in [false, true] {
                let response = try await Self.exchange(
                    port, "POST", "/v1/completions", body + ", \"stream\": \(streams)}")
                #expect(response.status == 400)
                #expect(response.error?["code"] as? String == "invalid_value")
            }
        }
    }

    @Test func nullsAreAbsent() async throws {
        try await ServerTests.withServer { port, _, _ in
            let body = #"{"prompt": "x", "max_tokens": 1, "flavour": null, "stop": null, "colour": 1}"#
            let response = try await Self.exchange(port, "POST", "/v1/completions", body)
            #expect(response.headers["x-martlet-warning"] == "unknown fields were ignored: colour")
        }
    }

    @Test(arguments: [
        ("/v1/responses", #"{"input": "x", "max_output_tokens": 0}"#, "max_output_tokens"),
        (
            "/v1/responses", #"{"input": [{"role": "user", "content": [{"type": "sound"}]}]}"#,
            "input[0].content[0].type"
        ),
        (
            "/v1/messages",
            #"{"max_tokens": 1, "stop_sequences": [1], "messages": [{"role": "user", "content": "x"}]}"#,
            "stop_sequences[0]"
        ),
        ("/api/generate", #"{"prompt": "x", "options": {"repeat_penalty": 0}}"#, "options.repeat_penalty"),
        ("/api/chat", #"{"messages": [{"role": "user", "content": "x", "images": 7}]}"#, "images"),
        ("/api/show", #"{"model": "SmolLM2", "name": {}}"#, "name"),
        (
            "/apply-template", #"{"messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function"}]}"#,
            "tools[0].function"
        ),
        (
            "/v1/messages",
            #"{"max_tokens": 1, "messages": [{"role": "user", "content": "x"}], "tool_choice": {"type": "auto", "disable_parallel_tool_use": 1}}"#,
            "tool_choice.disable_parallel_tool_use"
        ),
    ]) func errorsNameWhatTheCallerSent(_ path: String, _ body: String, _ field: String) async throws {
        try await ServerTests.withServer { port, _, _ in
            let response = try await Self.exchange(port, "POST", path, body)
            #expect(response.status == 400)
            let message = response.error?["message"] as? String ?? response.json?["error"] as? String
            #expect(message?.contains("'\(field)'") == true, "\(message ?? "")")
        }
    }

    @Test(arguments: [
        (#""tools": [{"type": 5, "function": {"name": "f"}}]"#, "tools[0].type"),
        (#""tools": [{"function": {"name": "f", "parameters": []}}]"#, "tools[0].function.parameters"),
        (#""tools": [{"function": {"name": "f", "strict": "yes"}}]"#, "tools[0].function.strict"),
        (#""tools": [{"function": {"name": "f", "description": 1}}]"#, "tools[0].function.description"),
        (
            #""tools": [{"function": {"name": "f"}}], "tool_choice": {"type": "x", "function": {"name": "f"}}"#,
            "tool_choice.type"
        ),
        (
            #""response_format": {"type": "json_schema", "json_schema": {"name": 1, "schema": {}}}"#,
            "response_format.json_schema.name"
        ),
        (#""logit_bias": {"+5": 1}"#, "logit_bias"),
        (#""json_schema": 7"#, "json_schema"), (#""grammar": {}"#, "grammar"),
    ]) func typesAreChecked(_ field: String, _ name: String) async throws {
        let body = try json(#"{"messages": [{"role": "user", "content": "x"}], \#(field)}"#)
        let served = try await TestModel.served
        do {
            _ = try CompletionRequest(.chat, body, for: served)
            Issue.record("\(field) is taken")
        } catch {
            #expect(error.parameter == name && error.status == 400, "\(error)")
        }
    }

    @Test(arguments: [
        (
            #"[{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 7}}]}]"#,
            "messages[0].tool_calls[0].function.arguments"
        ),
        (
            #"[{"role": "assistant", "tool_calls": [{"id": 7, "function": {"name": "f"}}]}]"#,
            "messages[0].tool_calls[0].id"
        ),
        (#"[{"role": "tool", "content": "x", "tool_call_id": 7}]"#, "messages[0].tool_call_id"),
    ]) func typesInMessagesAreChecked(_ messages: String, _ name: String) async throws {
        let served = try await TestModel.served
        do {
            _ = try CompletionRequest(.chat, json(#"{"messages": \#(messages)}"#), for: served)
            Issue.record("\(messages) is taken")
        } catch let error as APIError {
            #expect(error.parameter == name, "\(error)")
        }
    }

    @Test func whatIsOutOfRangeStaysSo() throws {
        func read(_ number: Double) throws -> Float { try RequestFields.number(.float(number), "top_p") }
        #expect(try read(.leastNonzeroMagnitude) > 0 && read(-.leastNonzeroMagnitude) < 0)
        #expect(try read(1.nextUp) > 1 && read(1.nextDown) < 1 && read(-2.0 - 1e-15) < -2)
        #expect(try read(0.7) == 0.7 && read(1) == 1 && read(0) == 0)
        #expect(throws: APIError.self) { try RequestFields.number(.float(1e39), "top_p") }
    }

    @Test(arguments: [
        (1024, 4096, 4096, 4096, 1024), (1024, 256, 4096, 1076, 1024), (1024, 64, 64, 64, 12), (1024, 16, 16, 16, 1),
        (Int.max, 64, Int.max, Int.max, Int.max - 52),
    ]) func connectionsFitTheOpenFiles(_ wanted: Int, _ soft: Int, _ hard: Int, _ limit: Int, _ connections: Int) {
        let plan = DescriptorLimit.plan(wanted, soft: soft, hard: hard, open: 20)
        #expect(plan.limit == limit)
        #expect(plan.connections == connections)
    }
}
