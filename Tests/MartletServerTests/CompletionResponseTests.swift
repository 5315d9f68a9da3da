import Foundation
import Martlet
import MartletJinja
import MartletServer
import Testing

/// The documents that answer requests, with the real model.
@Suite(.enabled(if: TestModel.isPresent, Comment(rawValue: TestModel.absence)))
struct CompletionResponseTests {
    static func answer(_ kind: CompletionRequest.Kind, _ body: String) async throws -> [String: Any] {
        let model = try await TestModel.served
        let request = try CompletionRequest(kind, json(body), for: model)
        let text = try await request.complete(on: model, created: 1_700_000_001).json()
        return try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    @Test func aChatIsAnswered() async throws {
        let answer = try await Self.answer(
            .chat,
            #"""
            {"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0,
            "logprobs": true, "top_logprobs": 2}
            """#)
        #expect(answer["object"] as? String == "chat.completion")
        #expect((answer["id"] as? String)?.hasPrefix("chatcmpl-") == true)
        #expect(answer["created"] as? Int == 1_700_000_001)
        #expect(answer["model"] as? String == "SmolLM2")
        let choice = try #require((answer["choices"] as? [[String: Any]])?.first)
        let message = try #require(choice["message"] as? [String: Any])
        #expect(message["role"] as? String == "assistant")
        #expect(message["content"] as? String == "The capital of France is Paris.")
        #expect(choice["finish_reason"] as? String == "stop")
        let usage = try #require(answer["usage"] as? [String: Any])
        let generated = try #require(usage["completion_tokens"] as? Int)
        #expect(usage["total_tokens"] as? Int == generated + (usage["prompt_tokens"] as? Int ?? 0))

        let content = try #require((choice["logprobs"] as? [String: Any])?["content"] as? [[String: Any]])
        #expect(content.count == generated)
        #expect(content[1]["token"] as? String == " capital")
        #expect(content[1]["bytes"] as? [Int] == Array(" capital".utf8).map(Int.init))
        for token in content {
            let top = try #require(token["top_logprobs"] as? [[String: Any]])
            #expect(top.count == 2)
            // Greedy: the token is the most likely one.
            #expect(top[0]["token"] as? String == token["token"] as? String)
            #expect((token["logprob"] as? Double ?? 1) <= 0)
        }
    }

    @Test func textsAreContinuedInOrder() async throws {
        let answer = try await Self.answer(
            .text,
            #"""
            {"prompt": ["The capital of France is", "One, two, three,"], "max_tokens": 4, "temperature": 0, "logprobs": 1,
            "stop": "\n"}
            """#)
        #expect(answer["object"] as? String == "text_completion")
        let choices = try #require(answer["choices"] as? [[String: Any]])
        #expect(choices.map { $0["index"] as? Int } == [0, 1])
        #expect((choices[0]["text"] as? String)?.contains("Paris") == true)
        #expect((choices[1]["text"] as? String)?.contains("four") == true)
        let logprobs = try #require(choices[1]["logprobs"] as? [String: Any])
        let tokens = try #require(logprobs["tokens"] as? [String])
        #expect(tokens.count == 4)
        #expect(choices[1]["finish_reason"] as? String == "length")
        #expect(choices[1]["text"] as? String == tokens.joined())
        let offsets = try #require(logprobs["text_offset"] as? [Int])
        #expect(offsets == tokens.indices.map { tokens[..<$0].joined().unicodeScalars.count })
        #expect((logprobs["top_logprobs"] as? [[String: Double]])?.allSatisfy { $0.count == 1 } == true)
        #expect((logprobs["token_logprobs"] as? [Double])?.count == 4)
    }

    @Test func whatTheEngineRefusesIsAnAPIError() async throws {
        let model = try await TestModel.served
        for (body, parameter) in [
            (#"{"prompt": [49152]}"#, "prompt"), (#"{"prompt": [1], "logit_bias": {"99999": 1}}"#, "logit_bias"),
            (#"{"prompt": [1], "stop_token_ids": [99999]}"#, "stop_token_ids"),
        ] {
            let document = try json(body)
            let error = await #expect(throws: APIError.self) {
                try await CompletionRequest(.text, document, for: model).complete(on: model, created: 0)
            }
            #expect(error?.status == 400)
            #expect(error?.parameter == parameter)
        }
    }

    @Test func severalAnswersHaveTheirIndices() async throws {
        let body = #"{"prompt": ["One,", "Two,"], "max_tokens": 6, "seed": 7, "n": 3, "temperature": 1}"#
        let answer = try await Self.answer(.text, body)
        let choices = try #require(answer["choices"] as? [[String: Any]])
        #expect(choices.map { $0["index"] as? Int } == Array(0..<6))
        let usage = try #require(answer["usage"] as? [String: Any])
        let llm = try await TestModel.served.llm
        #expect(usage["prompt_tokens"] as? Int == llm.tokenize("One,").count + llm.tokenize("Two,").count)
        #expect(usage["completion_tokens"] as? Int == 36)
        // Answer i is that of the seed plus i.
        let alone = try await Self.answer(
            .text, #"{"prompt": "Two,", "max_tokens": 6, "seed": 9, "temperature": 1}"#)
        #expect((alone["choices"] as? [[String: Any]])?.first?["text"] as? String == choices[5]["text"] as? String)
        let best = try await Self.answer(
            .text, #"{"prompt": "Two,", "max_tokens": 6, "seed": 7, "best_of": 3, "temperature": 1}"#)
        let text = try #require((best["choices"] as? [[String: Any]])?.first?["text"] as? String)
        #expect(choices[3...].contains { $0["text"] as? String == text })
    }

    @Test(arguments: [0, 2]) func promptsAreEchoedWithTheirLogprobs(maxTokens: Int) async throws {
        let answer = try await Self.answer(
            .text,
            #"""
            {"prompt": "The capital of France is", "max_tokens": \#(maxTokens), "temperature": 0, "logprobs": 1, "echo": true}
            """#)
        let choice = try #require((answer["choices"] as? [[String: Any]])?.first)
        let text = try #require(choice["text"] as? String)
        #expect(text.hasPrefix("The capital of France is") && (text.count > 24) == (maxTokens > 0))
        let logprobs = try #require(choice["logprobs"] as? [String: Any])
        let tokens = try #require(logprobs["tokens"] as? [String])
        #expect(tokens.joined() == text)
        let values = try #require(logprobs["token_logprobs"] as? [Any])
        #expect(values.count == tokens.count && values[0] is NSNull)
        #expect(values.dropFirst().allSatisfy { ($0 as? Double ?? 1) <= 0 })
        #expect((logprobs["text_offset"] as? [Int])?.last == text.count - (tokens.last?.count ?? 0))
        #expect((answer["usage"] as? [String: Any])?["completion_tokens"] as? Int == maxTokens)
    }

    /// Special tokens are no part of the text, so they take no place in it.
    @Test func offsetsAreThoseOfTheText() async throws {
        let llm = try await TestModel.served.llm
        let tokens = [1] + llm.tokenize("né 🦉 a")
        let answer = try await Self.answer(
            .text, #"{"prompt": \#(tokens), "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": true}"#)
        let choice = try #require((answer["choices"] as? [[String: Any]])?.first)
        let text = try #require(choice["text"] as? String)
        #expect(text.hasPrefix("né 🦉 a"))
        let offsets = try #require((choice["logprobs"] as? [String: Any])?["text_offset"] as? [Int])
        #expect(offsets.count == tokens.count + 1 && offsets[0] == 0 && offsets[1] == 0)
        #expect(offsets.last == "né 🦉 a".unicodeScalars.count && offsets == offsets.sorted())
    }

    @Test func logprobsOfAChatsPromptAreReported() async throws {
        let answer = try await Self.answer(
            .chat, #"{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1, "prompt_logprobs": 1}"#)
        let choice = try #require((answer["choices"] as? [[String: Any]])?.first)
        let prompt = try #require(choice["prompt_logprobs"] as? [Any])
        let count = try #require((answer["usage"] as? [String: Any])?["prompt_tokens"] as? Int)
        #expect(prompt.count == count && prompt[0] is NSNull)
        let entry = try #require((prompt[1] as? [String: [String: Any]])?.values.first { $0["rank"] as? Int == 1 })
        #expect(entry["decoded_token"] is String && (entry["logprob"] as? Double ?? 1) <= 0)
    }
}
