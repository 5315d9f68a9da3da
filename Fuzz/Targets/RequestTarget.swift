import Dispatch
import Foundation
import Martlet
import MartletJinja
import MartletTokenizers
import TestSupport

@testable import MartletServer

extension FuzzTarget {
    /// The first byte says which route the others are the body of. What is refused is refused by name, with 4xx.
    static let request = FuzzTarget(name: "request", longest: 4096) {
        bodies.map { [$0.0] + Array($0.1.utf8) }
    } read: { bytes in
        let body = Array(bytes.dropFirst())
        do {
            let route = (bytes.first ?? 0) % 10
            if route == 9 {
                let line = try BatchLine(body)
                _ = try CompletionRequest(line.kind, line.body, for: model)
                return
            }
            let document = try Value(strictJSON: body)
            switch route {
            case 0: try read(.init(kind: .chat, document: document, names: FieldNames()))
            case 1: try read(.init(kind: .text, document: document, names: FieldNames()))
            case 2: try read(ResponsesRequest.chat(document))
            case 3: try read(AnthropicRequest.chat(document))
            case 4: try read(AnthropicRequest.chat(document, countsOnly: true), isCounted: true)
            case 5: try read(OllamaRequest.completion(.chat, document, servedAs: model.names))
            case 6: try read(OllamaRequest.completion(.generate, document, servedAs: model.names))
            case 7: _ = try EmbeddingRequest(.openAI, document, for: model)
            default: _ = try EmbeddingRequest(.ollama, document, for: model)
            }
        } catch let error as APIError {
            precondition((400..<500).contains(error.status), "\(error)")
            precondition((try? error.json.json()) != nil)
        } catch {
            precondition(error is JinjaError || error is BatchLineError, "\(error)")
        }
    }

    private static func read(_ translation: Translation, isCounted: Bool = false) throws {
        do {
            let request = try CompletionRequest(
                translation.kind, translation.document, for: model, isCounted: isCounted)
            let vocabulary = model.llm.vocabularySize
            precondition(request.prompts.allSatisfy { $0.count <= model.llm.contextLength } || isCounted)
            consume(request.choiceCount + vocabulary)
        } catch {
            throw error.renamed(translation.names)
        }
    }

    /// A tiny model with a tokenizer and a template of the tests.
    static let model: ServedModel = {
        do {
            let file = try fixture("MartletTokenizersTests/Fixtures/synthetic/byte-level-added.json")
            let size = try Tokenizer(tokenizerJSON: Array(file)).vocabularySize
            var folder = TinyModelFolder()
            folder.settings["vocab_size"] = "\(size)"
            folder.settings["max_position_embeddings"] = "512"
            for name in ["model.embed_tokens.weight", "lm_head.weight"] {
                folder.weights.remove(name)
                folder.weights.add(name, [size, 8])
            }
            folder.files["tokenizer.json"] = file
            folder.files["chat_template.jinja"] = Data(
                """
                {%- if tools %}{{ tools | tojson }}{% endif %}
                {%- for m in messages %}<|im_start|>{{ m.role }}
                {{ m.content }}{% for c in m.tool_calls %}{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}<|end|>
                {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
                {% endif %}
                """.utf8)
            let written = try folder.write()
            let result = Loading()
            let done = DispatchSemaphore(value: 0)
            Task.detached {
                do {
                    var options = LoadOptions()
                    options.threads = 1
                    options.kvCacheTokens = 1024
                    result.model = ServedModel(
                        try await LLM.load(written.path, options: options), names: ["m"], created: 0)
                } catch {
                    result.failure = error
                }
                done.signal()
            }
            done.wait()
            guard let model = result.model else { fatalError("\(result.failure.map { "\($0)" } ?? "")") }
            return model
        } catch {
            fatalError("\(error)")
        }
    }()

    /// What a task hands over; the semaphore orders the two.
    private final class Loading: @unchecked Sendable {
        var model: ServedModel?
        var failure: (any Error)?
    }

    private static let bodies: [(UInt8, String)] = [
        (0, #"{"model": "m", "messages": [{"role": "user", "content": "Hello <|im_start|>"}], "max_tokens": 5}"#),
        (
            0,
            #"{"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}], "stream": true, "stream_options": {"include_usage": true}, "n": 2, "temperature": 0.5, "top_p": 0.9, "top_k": 3, "min_p": 0.1, "seed": -1, "stop": ["a", "b"], "logprobs": true, "top_logprobs": 2, "logit_bias": {"5": -100}}"#
        ),
        (
            0,
            #"{"messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]}, {"role": "tool", "tool_call_id": "c", "content": "r"}], "tools": [{"type": "function", "function": {"name": "f", "description": "d", "strict": true, "parameters": {"properties": {"a": {"type": "integer"}}}}}], "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": false}"#
        ),
        (
            0,
            #"{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "continue_final_message": true, "add_generation_prompt": false, "chat_template_kwargs": {"k": [1, {"a": null}]}, "priority": 5, "cache_salt": "s", "ignore_eos": true, "min_tokens": 1, "max_completion_tokens": 7, "response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": {"type": "object"}}}}"#
        ),
        (
            0,
            #"{"messages": [{"role": "user", "content": "x", "name": "n"}], "guided_regex": "a+", "bad_words": ["a"], "allowed_token_ids": [1, 2], "stop_token_ids": [3], "presence_penalty": -2, "frequency_penalty": 2, "repetition_penalty": 1.1, "typical_p": 0.5, "xtc_probability": 0.1, "xtc_threshold": 0.1, "user": "u", "unknown": 1}"#
        ),
        (
            1,
            #"{"prompt": ["a", [1, 2, 3]], "echo": true, "logprobs": 1, "max_tokens": 0, "suffix": null, "best_of": 2}"#
        ),
        (1, #"{"prompt": [1, 2, 900], "max_tokens": 3, "structured_outputs": {"choice": ["a", "b"]}}"#),
        (
            2,
            #"{"input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]}, {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, {"type": "function_call_output", "call_id": "c", "output": "x"}], "instructions": "i", "max_output_tokens": 5, "text": {"format": {"type": "json_object"}}, "tools": [{"type": "function", "name": "f", "parameters": {}}], "store": false}"#
        ),
        (
            3,
            #"{"model": "m", "max_tokens": 5, "system": [{"type": "text", "text": "s"}], "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "tool_result", "tool_use_id": "t", "content": "r"}]}, {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}], "tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "any", "disable_parallel_tool_use": true}, "stop_sequences": ["x"], "thinking": {"type": "disabled"}}"#
        ),
        (4, #"{"messages": [{"role": "user", "content": "a"}]}"#),
        (
            5,
            #"{"model": "m:latest", "messages": [{"role": "user", "content": "a", "images": ["AAAA"]}], "stream": false, "format": "json", "options": {"temperature": 0, "num_predict": -1, "num_ctx": 5, "stop": "x"}, "keep_alive": "5m", "think": false}"#
        ),
        (6, #"{"model": "m", "prompt": "a", "system": "s", "raw": false, "format": {"type": "object"}}"#),
        (6, #"{"prompt": "a", "raw": true}"#),
        (7, #"{"input": ["a", [1, 2]], "encoding_format": "base64", "dimensions": 8, "user": "u"}"#),
        (8, #"{"input": "a", "truncate": true, "options": {}, "keep_alive": 1}"#),
        (
            9,
            #"{"custom_id": "c", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [{"role": "user", "content": "a"}]}}"#
        ),
    ]
}
