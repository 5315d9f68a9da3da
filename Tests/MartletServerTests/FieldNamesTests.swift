import Martlet
import MartletJinja
import Testing

@testable import MartletServer

/// Errors name the fields of the request that the caller sent, not those that it was turned into.
struct FieldNamesTests {
    @Test(arguments: [
        (#"{"input": "x", "instructions": "y"}"#, "messages[0].content", "instructions.content"),
        (#"{"input": "x", "instructions": "y"}"#, "messages[1].content", "input.content"),
        (#"{"input": [{"role": "user", "content": "x"}]}"#, "messages[0].content[2].type", "input[0].content[2].type"),
        (#"{"input": "x"}"#, "messages", "input"), (#"{"input": "x"}"#, "max_completion_tokens", "max_output_tokens"),
        (#"{"input": "x"}"#, "response_format.type", "text.format.type"),
        (#"{"input": "x"}"#, "response_format.json_schema.schema", "text.format.schema"),
        (#"{"input": "x"}"#, "temperature", "temperature"), (#"{"input": "x"}"#, "messages[9]", "input[9]"),
    ]) func ofResponses(_ body: String, _ field: String, _ expected: String) throws {
        #expect(try ResponsesRequest.chat(json(body)).names.original(field) == expected)
    }

    @Test func ofAnthropicsMessages() throws {
        let names = try AnthropicRequest.chat(
            json(
                #"""
                {"max_tokens": 1, "system": "x", "messages": [{"role": "user", "content": [{"type": "tool_result", "content": "a"},
                {"type": "text", "text": "b"}]}, {"role": "assistant", "content": "c"}]}
                """#)
        ).names
        #expect(names.original("messages[0].content") == "system.content")
        // A message with a result became two.
        #expect(names.original("messages[2].content") == "messages[0].content")
        #expect(names.original("messages[3].content") == "messages[1].content")
        #expect(names.original("stop") == "stop_sequences")
    }

    @Test func ofOllamas() throws {
        let names = try OllamaRequest.completion(.generate, json(#"{"prompt": "x", "system": "y"}"#)).names
        #expect(names.original("messages[1].content") == "prompt.content")
        #expect(names.original("repetition_penalty") == "options.repeat_penalty")
        #expect(names.original("max_tokens") == "options.num_predict")
        #expect(names.original("guided_json") == "format")
    }

    @Test func messagesAreRenamedToo() {
        let names = FieldNames(fields: ["max_tokens": "options.num_predict", "messages": "input"])
        let range = APIError.value("max_tokens", "must be at least 1").renamed(names)
        #expect(range.parameter == "options.num_predict")
        #expect(range.message == "Invalid value for 'options.num_predict': must be at least 1.")
        let length = APIError.contextLengthExceeded(prompt: 9, completion: nil, limit: 8, parameter: "messages")
            .renamed(names)
        #expect(length.message.contains("your input resulted in 9 tokens"))
        #expect(length.message.hasSuffix("reduce the length of the input."))
        let own = CompletionRequestNames.maxCompletionTokens
        #expect(own?.parameter == "max_completion_tokens" && own?.message.contains("'max_completion_tokens'") == true)
    }

    @Test(arguments: [
        #"{"input": "x", "n": 2}"#, #"{"input": "x", "logprobs": true}"#, #"{"input": "x", "max_tokens": 5}"#,
    ]) func whatAnswersHaveNoPlaceForIsRefused(_ body: String) throws {
        #expect(throws: APIError.self) { try ResponsesRequest.chat(json(body)) }
    }

    @Test func anAssistantsLastWordsGoOn() throws {
        let body =
            #"{"max_tokens": 1, "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#
        let chat = try AnthropicRequest.chat(json(body)).document
        guard case .bool(true)? = chat["continue_final_message"] else {
            Issue.record("the message is not continued")
            return
        }
    }
}

/// `max_tokens` has two names in one API.
private enum CompletionRequestNames {
    static var maxCompletionTokens: APIError? {
        do {
            var fields = try RequestFields(json(#"{"max_completion_tokens": 0}"#))
            _ = try fields.samplingParameters(.init(), ServerLimits())
            return nil
        } catch {
            return error as? APIError
        }
    }
}
