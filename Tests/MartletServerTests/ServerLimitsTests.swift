import Foundation
import Martlet
import MartletServer
import TestSupport
import Testing

/// Limits that are set hold, each with an error that names the field.
@Suite(.enabled(if: TestModel.isPresent, Comment(rawValue: TestModel.absence)), .serialized, .timeLimit(.minutes(2)))
struct ServerLimitsTests {
    private static let message = #""messages": [{"role": "user", "content": "Hi"}]"#

    @Test func limitsThatAreSetHold() async throws {
        var setup = ServerTests.Setup()
        setup.options.limits.bodyBytes = 4000
        setup.options.limits.headerBytes = 2048
        setup.options.limits.headerCount = 20
        setup.options.limits.jsonDepth = 6
        setup.options.limits.jsonValues = 60
        setup.options.limits.choices = 2
        setup.options.limits.prompts = 2
        setup.options.limits.messages = 3
        setup.options.limits.logprobs = 1
        setup.options.limits.stopStrings = 1
        setup.options.limits.tools = 1
        setup.options.limits.structureBytes = 40
        setup.options.limits.embeddingInputs = 1
        let hi = #"{"role": "user", "content": "Hi"}"#
        let tool = #"{"type": "function", "function": {"name": "a"}}"#
        try await ServerTests.withServer(setup) { port, _, _ in
            for (path, body, parameter) in [
                ("/v1/chat/completions", "{\(Self.message), \"n\": 3}", "n"),
                ("/v1/completions", #"{"prompt": "a", "best_of": 3}"#, "best_of"),
                ("/v1/completions", #"{"prompt": ["a", "b"], "n": 2}"#, "n"),
                ("/v1/completions", #"{"prompt": ["a", "b", "c"]}"#, "prompt"),
                ("/v1/completions", #"{"prompt": "a", "logprobs": 2}"#, "logprobs"),
                ("/v1/completions", #"{"prompt": "a", "prompt_logprobs": 2}"#, "prompt_logprobs"),
                ("/v1/chat/completions", "{\(Self.message), \"logprobs\": true, \"top_logprobs\": 2}", "top_logprobs"),
                ("/v1/chat/completions", "{\(Self.message), \"stop\": [\"a\", \"b\"]}", "stop"),
                ("/v1/chat/completions", "{\"messages\": [\(hi), \(hi), \(hi), \(hi)]}", "messages"),
                ("/v1/chat/completions", "{\(Self.message), \"tools\": [\(tool), \(tool)]}", "tools"),
                (
                    "/v1/chat/completions",
                    "{\(Self.message), \"guided_regex\": \"\(String(repeating: "a", count: 41))\"}", "guided_regex"
                ),
                (
                    "/v1/chat/completions",
                    "{\(Self.message), \"guided_choice\": [\"\(String(repeating: "a", count: 30))\", \"bbbbbbbbbbb\"]}",
                    "guided_choice"
                ),
                ("/v1/embeddings", #"{"input": ["a", "b"]}"#, "input"),
            ] {
                let response = try await ServerTests.post(port, path, body)
                #expect(response.status == 400, "\(body)")
                #expect(response.error?["param"] as? String == parameter, "\(body): \(response.body)")
            }
            // At the limits all is well.
            for (path, body) in [
                ("/v1/completions", #"{"prompt": ["a", "b"], "logprobs": 1, "stop": ["a"], "max_tokens": 1}"#),
                ("/v1/chat/completions", "{\(Self.message), \"n\": 2, \"max_tokens\": 1, \"seed\": 1}"),
                ("/v1/chat/completions", "{\"messages\": [\(hi), \(hi), \(hi)], \"max_tokens\": 1}"),
                ("/v1/embeddings", #"{"input": ["a"]}"#),
            ] {
                let response = try await ServerTests.post(port, path, body)
                #expect(response.status == 200, "\(body): \(response.body)")
            }
            let deep = try await ServerTests.post(
                port, "/v1/completions", #"{"prompt": "a", "metadata": [[[[[[1]]]]]]}"#)
            #expect(deep.error?["code"] as? String == "invalid_json")
            let zeros = Array(repeating: "0", count: 60).joined(separator: ",")
            let wide = try await ServerTests.post(
                port, "/v1/completions", "{\"prompt\": \"a\", \"metadata\": [\(zeros)]}")
            #expect(wide.error?["code"] as? String == "invalid_json", "\(wide.body)")
            let call = #"{"function": {"name": "f", "arguments": "{\"a\": [\#(zeros)]}"}}"#
            let history = "{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": [\(call)]}]}"
            let arguments = try await ServerTests.post(port, "/v1/chat/completions", history)
            #expect(arguments.error?["param"] as? String == "messages[0].tool_calls[0].function.arguments")
            let large = "{\"prompt\": \"\(String(repeating: "a", count: 4000))\"}"
            #expect(try await ServerTests.post(port, "/v1/completions", large).status == 413)
            let long = ["X-Long": String(repeating: "a", count: 1100)]
            let statusOfLong = try await ServerTests.get(port, "/health", long).status
            #expect([400, 431].contains(statusOfLong), "\(statusOfLong)")
            let many = Dictionary(uniqueKeysWithValues: (0..<21).map { ("X-\($0)", "a") })
            let statusOfMany = try await ServerTests.get(port, "/health", many).status
            #expect([400, 431].contains(statusOfMany), "\(statusOfMany)")

            // The description tells the limits.
            let description = try await ServerTests.get(port, "/openapi.json").body
            #expect(description.contains(#""n":{"type":["integer","null"],"minimum":1,"maximum":2}"#))
        }
    }

    @Test func embeddingsArePooledAsTheServerSays() async throws {
        var setup = ServerTests.Setup()
        setup.options.pooling = .last
        try await ServerTests.withServer(setup) { port, llm, _ in
            let expected = try await llm.embed(["A dog runs."], pooling: .last)[0].vector
            #expect(try await llm.embed(["A dog runs."], pooling: .mean)[0].vector != expected)
            let response = try await ServerTests.post(port, "/v1/embeddings", #"{"input": "A dog runs."}"#)
            let vector = (response.json?["data"] as? [[String: Any]])?.first?["embedding"] as? [Double]
            #expect(vector?.map { Float($0) } == expected)
        }
    }
}
