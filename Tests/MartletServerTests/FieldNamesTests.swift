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
        (#"{"input": "x"}"#, "response_format.json_schema.other", "text.format.other"),
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
        let body = try json(#"{"prompt": "x", "system": "y"}"#)
        let names = try OllamaRequest.completion(.generate, body, servedAs: []).names
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

    @Test func strictFunctionsAndFailedOnesArePassedOn() throws {
        func chat(_ flag: String) throws -> Value {
            try AnthropicRequest.chat(
                json(
                    #"""
                    {"max_tokens": 1, "tools": [{"name": "weather", "strict": true}], "messages": [{"role": "user", "content":
                    [{"type": "tool_result", "tool_use_id": "a", "content": "no such city", "is_error": \#(flag)}]}]}
                    """#)
            ).document
        }
        let failed = try chat("true")
        #expect(failed["messages"]?.array?.first?["content"]?.asString == "Error: no such city")
        #expect(try chat("false")["messages"]?.array?.first?["content"]?.asString == "no such city")
        #expect(throws: APIError.self) { try chat("1") }
        guard case .bool(true)? = failed["tools"]?.array?.first?["function"]?["strict"] else {
            Issue.record("the function is not strict")
            return
        }
    }

    @Test(
        arguments: [
            ("0", [1, 0, 0], nil), ("-1", [2, 1, nil], nil), ("64", [2, 1, nil], 64),
        ] as [(String, [Int?], Int?)])
    func ollamasPenaltiesCanBeOff(_ window: String, _ penalties: [Int?], _ unknown: Int?) throws {
        let options = #"{"repeat_last_n": \#(window), "repeat_penalty": 2, "presence_penalty": 1}"#
        let body = try json(#"{"prompt": "x", "options": \#(options)}"#)
        let document = try OllamaRequest.completion(.generate, body, servedAs: []).document
        let names = ["repetition_penalty", "presence_penalty", "frequency_penalty"]
        #expect(names.map { document[$0]?.integer } == penalties)
        #expect(document["options.repeat_last_n"]?.integer == unknown)
    }

    @Test func onlyATagThatIsNoPartOfTheNameIsRemoved() {
        #expect(OllamaRequest.withoutTag("a:latest", servedAs: ["a"]) == "a")
        #expect(OllamaRequest.withoutTag("a:latest", servedAs: ["b", "a:latest"]) == "a:latest")
        #expect(OllamaRequest.withoutTag("a:7b", servedAs: ["a"]) == "a:7b")
    }

    @Test(
        arguments: [
            (.generate, "{}", "load"), (.generate, #"{"prompt": "", "images": [], "keep_alive": "5m"}"#, "load"),
            (.generate, #"{"keep_alive": 0}"#, "unload"),
            (.generate, #"{"prompt": null, "keep_alive": "0s"}"#, "unload"),
            (.generate, #"{"prompt": "x", "keep_alive": 0}"#, nil), (.generate, #"{"images": ["eA=="]}"#, nil),
            (.chat, "{}", "load"), (.chat, #"{"messages": [], "keep_alive": "0"}"#, "unload"),
            (.chat, #"{"messages": [{"role": "user", "content": ""}]}"#, nil),
        ] as [(OllamaRequest.Route, String, String?)])
    func withoutAPromptThereIsNoAnswer(_ route: OllamaRequest.Route, _ body: String, _ reason: String?) throws {
        #expect(try OllamaRequest.loadReason(route, json(body)) == reason)
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
