import Martlet
import MartletJinja
import MartletServer
import Testing

/// What requests may say, and what is refused.
@Suite(.enabled(if: TestModel.isPresent, Comment(rawValue: TestModel.absence)))
struct CompletionRequestTests {
    static func chat(_ fields: String) async throws -> CompletionRequest {
        let document = try json(
            #"{"messages": [{"role": "user", "content": "Hi"}]\#(fields.isEmpty ? "" : ", ")\#(fields)}"#)
        let request = try CompletionRequest(.chat, document, for: await TestModel.served)
        try await request.prepare(on: await TestModel.served.llm)
        return request
    }

    static func text(_ fields: String) async throws -> CompletionRequest {
        try CompletionRequest(.text, json("{\(fields)}"), for: await TestModel.served)
    }

    static func refusal(_ request: () async throws -> CompletionRequest) async -> APIError? {
        do {
            _ = try await request()
            return nil
        } catch {
            return error as? APIError
        }
    }

    @Test func fieldsBecomeParameters() async throws {
        let request = try await Self.chat(
            """
            "model": "smollm2", "max_completion_tokens": 9, "min_tokens": 2, "temperature": 0.5, "top_k": 7, "top_p": 0.25,
            "min_p": 0.125, "repetition_penalty": 1.5, "presence_penalty": -2, "frequency_penalty": 2, "seed": -1,
            "stop": ["a", "b"], "stop_token_ids": [3.0], "include_stop_str_in_output": true, "ignore_eos": true,
            "logit_bias": {"5": -100}, "logprobs": true, "top_logprobs": 4, "stream": true,
            "stream_options": {"include_usage": true}, "user": "me", "n": 1, "tools": [], "temperatur": 1, "seeds": null
            """)
        var expected = SamplingParameters()
        expected.maxTokens = 9
        expected.minTokens = 2
        expected.temperature = 0.5
        expected.topK = 7
        expected.topP = 0.25
        expected.minP = 0.125
        expected.repetitionPenalty = 1.5
        expected.presencePenalty = -2
        expected.frequencyPenalty = 2
        expected.seed = .max
        expected.stop = ["a", "b"]
        expected.stopTokenIDs = [3]
        expected.includeStopString = true
        expected.ignoreEOS = true
        expected.logitBias = [5: -100]
        expected.logprobs = 4
        #expect(request.parameters == expected)
        #expect(request.streams && request.includesUsage)
        #expect(request.unknownFields == ["temperatur"])
    }

    @Test func defaultsAreTheModels() async throws {
        let request = try await Self.chat("")
        let defaults = try await TestModel.served.llm.defaultParameters
        #expect(request.parameters == defaults)
        #expect(!request.streams && request.unknownFields.isEmpty)
    }

    static let integers = [
        "max_tokens", "max_completion_tokens", "min_tokens", "top_k", "seed", "n", "best_of", "top_logprobs",
        "priority",
        "prompt_logprobs",
    ]
    static let numbers = [
        "temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "typical_p",
        "xtc_probability", "xtc_threshold",
    ]
    static let nonsense = [
        "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e39", "\"1\"", "true", "[]", "[1]", "{}",
        "9223372036854775808", "-9223372036854775809", "1" + String(repeating: "0", count: 400),
    ]

    @Test(arguments: integers + numbers) func nonsenseInANumericFieldIsNamed(name: String) async throws {
        for value in Self.nonsense + (Self.integers.contains(name) ? ["1.5", "0.1"] : ["-1e30"]) {
            let error = await Self.refusal { try await Self.chat("\"\(name)\": \(value), \"logprobs\": true") }
            #expect(error?.status == 400, "\(name): \(value)")
            #expect(error?.parameter == name, "\(name): \(value): \(error?.message ?? "")")
        }
    }

    @Test(arguments: [
        ("max_tokens", "0"), ("max_tokens", "-1"), ("max_completion_tokens", "0"), ("min_tokens", "-1"),
        ("temperature", "-0.1"), ("top_k", "-2"), ("top_p", "0"), ("top_p", "1.1"), ("min_p", "-0.1"), ("min_p", "2"),
        ("repetition_penalty", "0"), ("presence_penalty", "2.1"), ("frequency_penalty", "-2.1"), ("n", "0"),
        ("n", "-1"),
        ("n", "129"), ("n", "2147483648"), ("best_of", "0"), ("best_of", "129"), ("priority", "-9223372036854775808"),
        ("priority", "1000001"), ("cache_salt", "\"\""), ("cache_salt", "7"), ("typical_p", "0"),
        ("bad_words", "[\" \"]"), ("allowed_token_ids", "[]"), ("allowed_token_ids", "[-1]"),
        ("prompt_logprobs", "21"), ("add_generation_prompt", "7"), ("continue_final_message", "true"),
        ("top_logprobs", "21"), ("top_logprobs", "-1"), ("stop", "[1]"),
        ("stop", "[\"\"]"),
        ("stop_token_ids", "[-1]"), ("stop_token_ids", "7"), ("logit_bias", "{\"a\": 1}"),
        ("logit_bias", "{\"1\": NaN}"),
        ("logit_bias", "{\"1\": 101}"), ("logit_bias", "[]"), ("stream", "1"), ("model", "7"),
        ("ignore_eos", "\"yes\""),
        ("tools", "[{}]"), ("tool_choice", "\"required\""), ("response_format", "{\"type\": \"xml\"}"),
        ("response_format", "{\"type\": \"json_schema\"}"),
        ("response_format", "{\"type\": \"json_object\", \"json_schema\": {\"schema\": {}}}"),
        ("response_format", "{\"type\": \"text\", \"schema\": {}}"),
        ("response_format", "{\"type\": \"json_object\", \"strict\": null}"),
        ("response_format", "{\"type\": \"json_schema\", \"json_schema\": {\"schema\": {}}, \"schema\": {}}"),
        ("response_format", "{\"type\": \"json_schema\", \"json_schema\": {\"schema\": {\"not\": {}}}}"),
        ("guided_regex", "\"(\""), ("guided_choice", "[]"), ("guided_choice", "[1]"), ("guided_grammar", "\"x\""),
        ("structured_outputs", "{}"), ("structured_outputs", "{\"json\": {}, \"regex\": \"x\"}"),
        ("response_format", "7"), ("functions", "[{}]"), ("echo", "true"), ("suffix", "\"x\""), ("store", "true"),
        ("guided_json", "7"), ("modalities", "[\"audio\"]"), ("stream_options", "{}"), ("use_beam_search", "true"),
    ]) func valuesOutOfRangeAndUnsupportedFieldsAreNamed(name: String, value: String) async throws {
        let error = await Self.refusal { try await Self.chat("\"\(name)\": \(value), \"logprobs\": true") }
        #expect(error?.status == 400)
        #expect(
            error?.parameter == name || error?.parameter?.hasPrefix(name + "[") == true
                || error?.parameter?.hasPrefix(name + ".") == true,
            "\(error?.message ?? "accepted")")
        #expect(error?.type == "invalid_request_error")
    }

    @Test(arguments: [
        (#"[]"#, "messages"), (#""Hi""#, "messages"), (#"[7]"#, "messages[0]"), (#"[{}]"#, "messages[0].role"),
        (#"[{"role": "user"}]"#, "messages[0].content"), (#"[{"role": "god", "content": ""}]"#, "messages[0].role"),
        (#"[{"role": "user", "content": 7}]"#, "messages[0].content"),
        (#"[{"role": "user", "content": [{"type": "text"}]}]"#, "messages[0].content[0].text"),
        (
            #"[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]"#,
            "messages[0].content[0].type"
        ),
        (#"[{"role": "assistant", "content": "", "tool_calls": [{}]}]"#, "messages[0].tool_calls[0]"),
        (#"[{"role": "user", "content": "", "tool_calls": [{}]}]"#, "messages[0].tool_calls"),
        (
            #"[{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[]"}}]}]"#,
            "messages[0].tool_calls[0].function.arguments"
        ),
    ]) func malformedMessagesAreNamed(messages: String, parameter: String) async throws {
        let model = try await TestModel.served
        let error = await Self.refusal {
            try CompletionRequest(.chat, json("{\"messages\": \(messages)}"), for: model)
        }
        #expect(error?.status == 400)
        #expect(error?.parameter == parameter)
    }

    @Test func contentMayBePartsAndTheSystemADeveloper() async throws {
        let model = try await TestModel.served
        let parts = try CompletionRequest(
            .chat,
            json(
                #"""
                {"messages": [{"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}], "name": "x"}]}
                """#), for: model)
        let plain = try CompletionRequest(
            .chat,
            json(
                #"{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "One\nTwo"}]}"#),
            for: model)
        #expect(parts.prompts == plain.prompts)
    }

    @Test func theLastMessageCanBeContinued() async throws {
        let model = try await TestModel.served
        let request = try CompletionRequest(
            .chat,
            json(
                #"""
                {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello <|im_end|>, I"}],
                "continue_final_message": true}
                """#), for: model)
        let text = model.llm.detokenize(request.prompts[0], skipSpecialTokens: false)
        #expect(text.hasSuffix("<|im_start|>assistant\nHello <|im_end|>, I"))
        // What the message spells is no control token.
        let end = (0..<10).first { model.llm.detokenize([$0], skipSpecialTokens: false) == "<|im_end|>" }
        #expect(request.prompts[0].count { $0 == end } == 2)
    }

    @Test func termsOfServiceAreTaken() async throws {
        let request = try await Self.chat(
            #""priority": 3, "cache_salt": "me", "n": 3, "best_of": 3, "bad_words": ["x"]"#)
        #expect(request.options.priority == -3 && request.options.cacheSalt == "me")
        #expect(request.parameters.n == 3 && request.parameters.bestOf == nil && request.parameters.badWords == ["x"])
        #expect(request.choiceCount == 3)
        let error = await Self.refusal { try await Self.text(#""prompt": ["a", "b"], "n": 65"#) }
        #expect(error?.parameter == "n")
        #expect(await Self.refusal { try await Self.chat(#""best_of": 2, "stream": true"#) }?.parameter == "best_of")
    }

    @Test func templateVariablesReachTheTemplate() async throws {
        let with = try await Self.chat(
            #""chat_template_kwargs": {"add_generation_prompt": false}, "add_generation_prompt": false"#)
        let without = try await Self.chat("")
        #expect(with.prompts[0].count < without.prompts[0].count)
        let error = await Self.refusal { try await Self.chat(#""chat_template_kwargs": {"messages": []}"#) }
        #expect(error?.parameter == "chat_template_kwargs")
    }

    @Test func textPromptsComeInFourForms() async throws {
        let llm = try await TestModel.served.llm
        #expect(try await Self.text(#""prompt": "Hello""#).prompts == [llm.tokenize("Hello")])
        #expect(
            try await Self.text(#""prompt": ["Hello", "you"]"#).prompts == [llm.tokenize("Hello"), llm.tokenize("you")])
        #expect(try await Self.text(#""prompt": [1, 2]"#).prompts == [[1, 2]])
        #expect(try await Self.text(#""prompt": [[1, 2], [3]]"#).prompts == [[1, 2], [3]])
        #expect(try await Self.text(#""prompt": "x""#).parameters.maxTokens == 16)
        #expect(try await Self.text(#""prompt": "x", "min_tokens": 20"#).parameters.maxTokens == 20)
        for prompt in ["7", "[]", "[true]", "[1, true]", "[[1.5]]", "{}"] {
            let error = await Self.refusal { try await Self.text("\"prompt\": \(prompt)") }
            #expect(error?.parameter?.hasPrefix("prompt") == true)
        }
        #expect(await Self.refusal { try await Self.text("") }?.parameter == "prompt")
        #expect(await Self.refusal { try await Self.text(#""prompt": "x", "logprobs": 21"#) }?.parameter == "logprobs")
    }

    @Test func whatDoesNotFitTheContextIsRefusedWithCounts() async throws {
        let long = String(repeating: "word ", count: 600)
        for (fields, needle) in [
            (#""prompt": "\#(long)""#, "maximum context length is 512"),
            (#""prompt": [1, 2, 3], "max_tokens": 510"#, "513"),
            (#""prompt": [1], "max_tokens": 9223372036854775807"#, "1 in the prompt"),
        ] {
            let error = await Self.refusal { try await Self.text(fields) }
            #expect(error?.code == "context_length_exceeded")
            #expect(error?.parameter == "prompt")
            #expect(error?.message.contains(needle) == true)
        }
        _ = try await Self.text(#""prompt": [1, 2, 3], "max_tokens": 509"#)
    }

    @Test func anotherModelIsNotFound() async throws {
        let error = await Self.refusal { try await Self.chat(#""model": "gpt-4o""#) }
        #expect(error?.status == 404)
        #expect(error?.code == "model_not_found")
        #expect(
            try error?.json.json()
                == #"{"error":{"message":"The model 'gpt-4o' does not exist.","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#
        )
    }
}
