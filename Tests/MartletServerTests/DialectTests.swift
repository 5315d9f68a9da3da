import Foundation
import Logging
import Martlet
import MartletJinja
import ServiceLifecycle
import TestSupport
import Testing

@testable import MartletServer

/// Other APIs than OpenAI's completions, over HTTP with the real model.
@Suite(.enabled(if: TestModel.isPresent, Comment(rawValue: TestModel.absence)), .serialized, .timeLimit(.minutes(2)))
struct DialectTests {
    private static let question = #""messages": [{"role": "user", "content": "What is the capital of France?"}]"#
    private static let answer = "The capital of France is Paris."
    private static let weather =
        #"{"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}"#

    private static func post(_ port: Int, _ path: String, _ body: String) async throws -> HTTPClient.Response {
        try await HTTPClient.exchange(port: port, HTTPClient.request("POST", path, body: body))
    }

    /// The names of events, and their documents.
    private static func events(_ body: String) -> [(name: String, data: [String: Any])] {
        body.components(separatedBy: "\n\n").compactMap { event in
            let lines = event.split(separator: "\n")
            guard lines.count == 2, lines[0].hasPrefix("event: "), lines[1].hasPrefix("data: ") else { return nil }
            let data = (try? JSONSerialization.jsonObject(with: Data(lines[1].dropFirst(6).utf8))) as? [String: Any]
            return (String(lines[0].dropFirst(7)), data ?? [:])
        }
    }

    @Test func anthropicsMessages() async throws {
        try await ServerTests.withServer { port, llm, _ in
            let body = #"{"max_tokens": 50, "temperature": 0, \#(Self.question)"#
            let whole = try await Self.post(port, "/v1/messages", body + "}")
            #expect(whole.json?["type"] as? String == "message" && whole.json?["stop_reason"] as? String == "end_turn")
            let blocks = try #require(whole.json?["content"] as? [[String: Any]])
            #expect(blocks.count == 1 && blocks[0]["text"] as? String == Self.answer)

            let events = Self.events(try await Self.post(port, "/v1/messages", body + #", "stream": true}"#).body)
            #expect(events.allSatisfy { $0.data["type"] as? String == $0.name })
            let names = events.map(\.name).filter { $0 != "content_block_delta" }
            #expect(
                names == [
                    "message_start", "ping", "content_block_start", "content_block_stop", "message_delta",
                    "message_stop",
                ])
            let text = events.compactMap { ($0.data["delta"] as? [String: Any])?["text"] as? String }.joined()
            #expect(text == Self.answer)

            let stopped = try await Self.post(port, "/v1/messages", body + #", "stop_sequences": ["Paris"]}"#)
            #expect(stopped.json?["stop_reason"] as? String == "stop_sequence")
            #expect(stopped.json?["stop_sequence"] as? String == "Paris")
            let count = try await Self.post(port, "/v1/messages/count_tokens", "{\(Self.question)}")
            let usage = try #require(whole.json?["usage"] as? [String: Any])
            #expect(
                count.json?["input_tokens"] as? Int == (usage["input_tokens"] as? Int ?? 0)
                    + (usage["cache_read_input_tokens"] as? Int ?? 0))

            for (body, status, type) in [
                ("{\(Self.question)}", 400, "invalid_request_error"),
                (#"{"model": "claude", "max_tokens": 5, \#(Self.question)}"#, 404, "not_found_error"),
                (#"{"max_tokens": 5, "messages": [{"role": "system", "content": ""}]}"#, 400, "invalid_request_error"),
                (
                    #"{"max_tokens": 5, "thinking": {"type": "enabled"}, \#(Self.question)}"#, 400,
                    "invalid_request_error"
                ),
            ] {
                let refused = try await Self.post(port, "/v1/messages", body)
                #expect(refused.status == status && refused.json?["type"] as? String == "error")
                #expect(refused.error?["type"] as? String == type)
            }
        }
    }

    @Test func anthropicsForms() async throws {
        try await ServerTests.withServer { port, _, _ in
            let body = #"{"max_tokens": 50, \#(Self.question), "output_config": "#
            let form = try await Self.post(
                port, "/v1/messages", body + #"{"format": {"type": "json_schema", "schema": {"enum": ["a", "b"]}}}}"#)
            let text = (form.json?["content"] as? [[String: Any]])?.first?["text"] as? String
            #expect(["\"a\"", "\"b\""].contains(text))
            for (config, field) in [
                (#"{"effort": "low"}"#, "output_config.effort"),
                (#"{"format": {"type": "json_schema", "schema": {"type": "nothing"}}}"#, "output_config.format"),
                (#"{"format": {"type": "xml"}}"#, "output_config.format.type"),
            ] {
                let refused = try await Self.post(port, "/v1/messages", body + config + "}")
                #expect(refused.status == 400)
                #expect((refused.error?["message"] as? String)?.contains(field) == true, "\(refused.body)")
            }
        }
    }

    @Test func anthropicsTools() async throws {
        try await ServerTests.withServer { port, _, _ in
            let body = #"""
                {"max_tokens": 100, "messages": [{"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Rome"}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "Sunny"}]}],
                "tools": [{"name": "weather", "input_schema": \#(Self.weather)}],
                "tool_choice": {"type": "any", "disable_parallel_tool_use": true}
                """#
            let whole = try await Self.post(port, "/v1/messages", body + "}")
            let block = try #require((whole.json?["content"] as? [[String: Any]])?.last)
            #expect(block["type"] as? String == "tool_use" && (block["input"] as? [String: Any])?["city"] is String)
            #expect(whole.json?["stop_reason"] as? String == "tool_use")
            let events = Self.events(try await Self.post(port, "/v1/messages", body + #", "stream": true}"#).body)
            let json = events.compactMap { ($0.data["delta"] as? [String: Any])?["partial_json"] as? String }.joined()
            #expect(try Value(json: json)["city"]?.asString != nil)
        }
    }

    @Test func openAIsResponses() async throws {
        try await ServerTests.withServer { port, _, _ in
            let body = #"{"input": "What is the capital of France?", "temperature": 0"#
            let whole = try await Self.post(port, "/v1/responses", body + "}")
            #expect(whole.json?["object"] as? String == "response" && whole.json?["status"] as? String == "completed")
            let item = try #require((whole.json?["output"] as? [[String: Any]])?.first)
            #expect((item["content"] as? [[String: Any]])?.first?["text"] as? String == Self.answer)

            let events = Self.events(try await Self.post(port, "/v1/responses", body + #", "stream": true}"#).body)
            #expect(events.map { $0.data["sequence_number"] as? Int } == Array(0..<events.count))
            #expect(events.first?.name == "response.created" && events.last?.name == "response.completed")
            let text = events.filter { $0.name == "response.output_text.delta" }
                .compactMap { $0.data["delta"] as? String }.joined()
            #expect(text == Self.answer)

            let call = try await Self.post(
                port, "/v1/responses",
                #"""
                {"input": [{"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
                {"type": "function_call", "call_id": "a", "name": "weather", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "a", "output": "Sunny"}], "max_output_tokens": 100,
                "tools": [{"type": "function", "name": "weather", "parameters": \#(Self.weather)}], "tool_choice": "required"}
                """#)
            let function = try #require((call.json?["output"] as? [[String: Any]])?.first)
            #expect(function["type"] as? String == "function_call" && function["name"] as? String == "weather")
            let form = try await Self.post(
                port, "/v1/responses",
                #"""
                {"input": "x", "max_output_tokens": 50, "text": {"format": {"type": "json_schema", "name": "x",
                "schema": {"enum": ["left", "right"]}}}}
                """#)
            #expect(["\"left\"", "\"right\""].contains { form.body.contains($0.replacing("\"", with: "\\\"")) })
            for field in [
                #""previous_response_id": "x""#, #""store": true"#, #""background": true"#, #""input": 7"#,
                #""text": {"format": {"type": "json_schema", "name": "x", "schema": {}, "more": 1}}"#,
            ] {
                let refused = try await Self.post(port, "/v1/responses", #"{"input": "x", \#(field)}"#)
                #expect(refused.status == 400)
            }
        }
    }

    /// What the model wrote as one turn is one turn of the conversation.
    @Test func callsBelongToTheTurnBeforeThem() throws {
        let request = try ResponsesRequest.chat(
            Value(
                json: #"""
                    {"instructions": "x", "input": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "Let me see"},
                    {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
                    {"type": "function_call", "call_id": "b", "name": "g", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "a", "output": "1"},
                    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}
                    """#))
        let messages = request.document["messages"]?.array ?? []
        #expect(messages.map { $0["role"]?.asString } == ["system", "user", "assistant", "tool", "assistant"])
        let calls = messages.map { $0["tool_calls"]?.array?.compactMap { $0["id"]?.asString } ?? [] }
        #expect(calls == [[], [], ["a", "b"], [], ["c"]])
        #expect(request.names.messages == ["instructions", "input[0]", "input[1]", "input[4]", "input[5]"])
        #expect(messages[2]["content"]?.asString == "Let me see" && messages[3]["tool_call_id"]?.asString == "a")
    }

    @Test func whatIsCutOffIsIncomplete() async throws {
        try await ServerTests.withServer { port, _, _ in
            let body = #"{"input": "What is the capital of France?", "max_output_tokens": 2"#
            let whole = try await Self.post(port, "/v1/responses", body + "}")
            #expect((whole.json?["output"] as? [[String: Any]])?.first?["status"] as? String == "incomplete")
            let events = Self.events(try await Self.post(port, "/v1/responses", body + #", "stream": true}"#).body)
            let item = events.first { $0.name == "response.output_item.done" }?.data["item"] as? [String: Any]
            #expect(item?["status"] as? String == "incomplete" && events.last?.name == "response.incomplete")
        }
    }

    /// Clients break lines as Python's `splitlines` does, also inside of strings.
    @Test(arguments: ["\u{2028}", "\u{2029}", "\u{85}"]) func linesHaveNoOtherEnds(end: String) async throws {
        let form = #""x", "stream": true, "format": {"const": "a\#(end)b"}}"#
        try await ServerTests.withServer { port, _, _ in
            let answer = try await Self.post(port, "/api/generate", #"{"prompt": "# + form)
            #expect(!answer.body.contains(end))
            let text = answer.body.split(separator: "\n").compactMap {
                try? Value(json: String($0))["response"]?.asString
            }
            #expect(text.joined() == "\"a\(end)b\"")
            let body = form.replacing("format", with: "guided_json")
            let chat = try await Self.post(
                port, "/v1/completions", #"{"max_tokens": 20, "prompt": "# + body)
            #expect(chat.status == 200 && chat.body.contains("b") && !chat.body.contains(end))
        }
    }

    @Test(arguments: [#""num_predict": -1, "#, ""]) func ollamasRawPromptsHaveNoLimit(count: String) async throws {
        let model = try await TestModel.served
        let request = try OllamaRequest.completion(
            .generate,
            Value(json: #"{"prompt": "Count:", "raw": true, "system": "", "options": {\#(count)"use_mlock": true}}"#),
            servedAs: model.names)
        let completion = try CompletionRequest(request, for: model)
        #expect(completion.parameters.maxTokens == nil && completion.unknownFields.isEmpty)
    }

    @Test func ollamasCallsGetIDs() throws {
        let request = try OllamaRequest.completion(
            .chat,
            Value(
                json: #"""
                    {"messages": [{"role": "user", "content": "q"},
                    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}, {"function": {"name": "g", "arguments": {}}}]},
                    {"role": "tool", "tool_name": "f", "content": "1"}, {"role": "tool", "tool_name": "g", "content": "2"}]}
                    """#), servedAs: ["x"])
        let messages = request.document["messages"]?.array ?? []
        #expect(messages[1]["tool_calls"]?.array?.map { $0["id"]?.asString } == ["000000001", "000000002"])
        #expect(messages[2...].map { $0["tool_call_id"]?.asString } == ["000000001", "000000002"])
    }

    @Test func ollamasRoutes() async throws {
        try await ServerTests.withServer { port, _, _ in
            let chat =
                #"{"model": "SmolLM2:latest", \#(Self.question), "options": {"temperature": 0, "num_predict": 50}"#
            let whole = try await Self.post(port, "/api/chat", chat + #", "stream": false}"#)
            #expect((whole.json?["message"] as? [String: Any])?["content"] as? String == Self.answer)
            #expect(whole.json?["done"] as? Bool == true && whole.json?["eval_count"] as? Int ?? 0 > 0)
            let streamed = try await Self.post(port, "/api/chat", chat + "}")
            #expect(streamed.headers["content-type"] == "application/x-ndjson")
            let lines = try streamed.body.split(separator: "\n").map {
                try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
            }
            let text = lines.compactMap { ($0["message"] as? [String: Any])?["content"] as? String }.joined()
            #expect(text == Self.answer && lines.last?["done_reason"] as? String == "stop")
            let generated = try await Self.post(
                port, "/api/generate",
                #"{"prompt": "x", "stream": false, "format": {"const": 7}, "options": {"num_predict": 9}}"#)
            #expect(generated.json?["response"] as? String == "7")
            #expect(try await ServerTests.get(port, "/api/version").status == 200)
            for path in ["/api/tags", "/api/ps"] {
                let models = try await ServerTests.get(port, path).json?["models"] as? [[String: Any]]
                let digest = try #require(models?.first?["digest"] as? String)
                #expect(digest.count == 64 && digest.allSatisfy { $0.isHexDigit && !$0.isUppercase })
            }
            #expect(try await Self.post(port, "/api/show", #"{"model": "SmolLM2"}"#).status == 200)
            let refused = try await Self.post(port, "/api/chat", #"{"model": "nope", \#(Self.question)}"#)
            #expect(refused.status == 404 && refused.json?["error"] is String)
        }
    }

    @Test func ollamasModelsAreLoadedAndUnloadedInWords() async throws {
        try await ServerTests.withServer { port, llm, _ in
            for (path, body, reason) in [
                ("/api/generate", #"{"model": "SmolLM2"}"#, "load"),
                ("/api/generate", #"{"model": "SmolLM2", "prompt": "", "raw": true, "stream": true}"#, "load"),
                ("/api/generate", #"{"model": "SmolLM2:latest", "keep_alive": 0}"#, "unload"),
                ("/api/chat", #"{"model": "SmolLM2", "messages": []}"#, "load"),
                ("/api/generate", #"{"model": "SmolLM2", "format": "json"}"#, "load"),
                ("/api/chat", #"{"model": "SmolLM2", "keep_alive": "0s"}"#, "unload"),
            ] {
                let response = try await Self.post(port, path, body)
                #expect(response.status == 200 && response.json?["done"] as? Bool == true, "\(body)")
                #expect(response.json?["done_reason"] as? String == reason, "\(body)")
                #expect(response.json?["model"] as? String == "SmolLM2" && response.json?["created_at"] is String)
                let message = response.json?["message"] as? [String: Any]
                #expect(path == "/api/generate" || message?["role"] as? String == "assistant")
                let text = path == "/api/chat" ? message?["content"] : response.json?["response"]
                #expect(text as? String == "", "\(body)")
            }
            #expect(await llm.statistics.generatedTokens == 0)
            #expect(try await Self.post(port, "/api/generate", #"{"model": "nope"}"#).status == 404)
            for field in [#""options": {"temperature": -1}"#, #""options": {"num_predict": 9999}"#, #""format": "A""#] {
                #expect(try await Self.post(port, "/api/chat", "{\(field)}").status == 400, "\(field)")
            }
            let unknown = try await Self.post(port, "/api/generate", #"{"colour": 1}"#)
            #expect(unknown.headers["x-martlet-warning"]?.contains("colour") == true)
        }
    }

    /// As `curl -d` sends them. A web page has to ask the browser before it may say that it sends JSON.
    @Test func ollamasDocumentsMayBeCalledForms() async throws {
        try await ServerTests.withServer { port, _, _ in
            let form = ["Content-Type": "application/x-www-form-urlencoded"]
            let page = form.merging(["Origin": "http://localhost:3000"]) { $1 }
            for (path, headers, status) in [
                ("/api/generate", form, 200), ("/api/generate", page, 415), ("/tokenize", form, 415),
            ] {
                let response = try await ServerTests.post(port, path, "{}", headers)
                #expect(response.status == status, "\(path) \(headers)")
            }
        }
    }

    @Test func aServedNameMayEndInATag() async throws {
        var setup = ServerTests.Setup()
        setup.options.modelNames = ["SmolLM2:latest"]
        try await ServerTests.withServer(setup) { port, _, _ in
            for path in ["/api/generate", "/api/chat", "/api/show", "/api/embed"] {
                let input = path == "/api/embed" ? #", "input": "x""# : ""
                let whole = try await Self.post(port, path, #"{"model": "SmolLM2:latest"\#(input)}"#)
                #expect(whole.status == 200, "\(path): \(whole.body.prefix(200))")
                #expect(try await Self.post(port, path, #"{"model": "other:latest"\#(input)}"#).status == 404)
            }
        }
    }
}
