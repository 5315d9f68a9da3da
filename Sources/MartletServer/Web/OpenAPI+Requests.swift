import Martlet
import MartletJinja

// The bodies of requests as JSON Schemas. What a schema can't say of fields together stands in their descriptions.
extension OpenAPI {
    static func requests(_ facts: Facts) -> String {
        let model = facts.modelNames
        let token = #"{"type": "integer", "minimum": 0, "maximum": \#(facts.vocabularySize - 1)}"#
        let context = facts.contextLength
        let limits = facts.limits
        let texts =
            #"{"anyOf": [{"type": "string", "minLength": 1, "maxLength": 4096}, {"type": "array", "maxItems": \#(limits.stopStrings), "items": {"type": "string", "minLength": 1, "maxLength": 4096}}, {"type": "null"}]}"#
        let flag = #"{"type": ["boolean", "null"]}"#
        let single = #"{"type": ["number", "null"], "minimum": 0, "maximum": 3.4028234e38}"#
        let unit = #"{"type": ["number", "null"], "minimum": 0, "maximum": 1}"#
        let share = #"{"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1}"#
        let penalty = #"{"type": ["number", "null"], "minimum": -2, "maximum": 2}"#
        let integer64 =
            #"{"type": ["integer", "null"], "minimum": -9223372036854775808, "maximum": 9223372036854775807}"#
        let topK = #"{"type": ["integer", "null"], "minimum": -1, "maximum": 9223372036854775807}"#
        let answerTokens =
            #"{"type": ["integer", "null"], "minimum": 1, "maximum": \#(context), "description": "Tokens of the answer at most; together with the prompt's no more than the model's context"}"#
        let never = #"{"type": "null", "description": "Not supported"}"#
        let notTrue = #"{"enum": [false, null], "description": "Not supported"}"#
        let schema = #"{"type": ["object", "string", "boolean"], "description": "A JSON Schema, or its text"}"#
        let image =
            facts.seesImages
            ? #", {"type": "object", "properties": {"type": {"const": "image_url"}, "image_url": {"type": "object", "properties": {"url": {"type": "string", "description": "data:image/…;base64,…"}}, "required": ["url"]}}, "required": ["type", "image_url"]}"#
            : ""
        let dataURL = #"{"type": "string", "description": "data:image/…;base64,…"}"#
        let inputImage =
            facts.seesImages
            ? #", {"type": "object", "properties": {"type": {"const": "input_image"}, "image_url": \#(dataURL)}, "required": ["type", "image_url"]}"#
            : ""
        let imageBlock =
            facts.seesImages
            ? #", {"type": "object", "properties": {"type": {"const": "image"}, "source": {"type": "object", "properties": {"type": {"const": "base64"}, "media_type": {"type": "string"}, "data": {"type": "string"}}, "required": ["type", "data"]}}, "required": ["type", "source"]}"#
            : ""
        let images =
            facts.seesImages
            ? #", "images": {"type": ["array", "null"], "items": {"type": "string", "description": "Base64"}}"# : ""
        // Labels for the caller's own books.
        let labels = #""user": {}, "metadata": {}, "service_tier": {}, "safety_identifier": {}, "prompt_cache_key": {}"#
        return #"""
            "Sampling": {"type": "object", "properties": {
              "model": \#(model), "min_tokens": {"type": ["integer", "null"], "minimum": 0, "maximum": \#(context), "description": "At most max_tokens"},
              "n": {"type": ["integer", "null"], "minimum": 1, "maximum": \#(limits.choices)}, "best_of": {"type": ["integer", "null"], "minimum": 1, "maximum": \#(limits.choices), "description": "At least n; not when streaming"},
              "stream": \#(flag),
              "stream_options": {"type": ["object", "null"], "properties": {"include_usage": \#(flag), "include_obfuscation": \#(flag)}, "additionalProperties": {"type": "null"}, "description": "Only when stream is true"},
              "stop": \#(texts), "stop_token_ids": {"type": ["array", "null"], "items": \#(token)},
              "include_stop_str_in_output": \#(flag), "ignore_eos": \#(flag), "skip_special_tokens": \#(flag), "seed": \#(integer64),
              "temperature": \#(single), "top_p": \#(share), "top_k": \#(topK), "min_p": \#(unit), "typical_p": \#(share),
              "xtc_probability": \#(unit), "xtc_threshold": \#(unit),
              "repetition_penalty": {"type": ["number", "null"], "minimum": 0.01, "maximum": 100},
              "presence_penalty": \#(penalty), "frequency_penalty": \#(penalty),
              "logit_bias": {"type": ["object", "null"], "propertyNames": {"pattern": "^[0-9]+$"}, "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100}, "description": "By token id"},
              "bad_words": {"type": ["array", "null"], "maxItems": 256, "items": {"type": "string", "pattern": "[^\\s]", "maxLength": 1024}},
              "allowed_token_ids": {"type": ["array", "null"], "minItems": 1, "items": \#(token)},
              "prompt_logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": \#(limits.logprobs), "description": "Not when streaming"},
              "priority": {"type": ["integer", "null"], "minimum": -1000000, "maximum": 1000000, "description": "Low numbers first"},
              "cache_salt": {"type": ["string", "null"], "minLength": 1, "maxLength": 1024, "description": "Cached prefixes are shared with requests of the same salt only"},
              "response_format": {"$ref": "#/components/schemas/ResponseFormat"},
              "structured_outputs": {"type": ["object", "null"], "description": "One of json, json_object, regex, choice, grammar"},
              "guided_json": {"anyOf": [\#(schema), {"type": "null"}]}, "guided_regex": {"type": ["string", "null"]},
              "guided_choice": {"type": ["array", "null"], "minItems": 1, "items": {"type": "string", "minLength": 1}}, "guided_grammar": {"type": ["string", "null"], "description": "GBNF"},
              "json_schema": {"anyOf": [\#(schema), {"type": "null"}], "description": "llama.cpp's guided_json"}, "grammar": {"type": ["string", "null"], "description": "llama.cpp's guided_grammar"},
              \#(labels), "store": \#(notTrue), "use_beam_search": \#(notTrue), "suffix": \#(never)}},
            "ResponseFormat": {"anyOf": [{"type": "null"},
              {"type": "object", "properties": {"type": {"const": "text"}, "schema": {"type": "null"}, "json_schema": {"type": "null"}}, "required": ["type"], "additionalProperties": false},
              {"type": "object", "properties": {"type": {"const": "json_object"}, "schema": {"anyOf": [\#(schema), {"type": "null"}]}, "json_schema": {"type": "null"}}, "required": ["type"], "additionalProperties": false},
              {"type": "object", "properties": {"type": {"const": "json_schema"}, "schema": {"type": "null"}, "json_schema": {"type": "object", "properties": {"name": {"type": ["string", "null"]},
                "description": {"type": ["string", "null"]}, "strict": \#(flag), "schema": \#(schema)}, "required": ["schema"], "additionalProperties": false}}, "required": ["type", "json_schema"], "additionalProperties": false}]},
            "SchemaFormat": {"type": "object", "properties": {"type": {"const": "json_schema"}, "name": {"type": ["string", "null"]}, "description": {"type": ["string", "null"]}, "strict": \#(flag), "schema": \#(schema)},
              "required": ["type", "schema"], "additionalProperties": false},
            "Content": {"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"anyOf": [
              {"type": "object", "properties": {"type": {"enum": ["text", "input_text", "output_text"]}, "text": {"type": "string"}}, "required": ["type", "text"]}\#(image)]}}]},
            "Call": {"type": "object", "properties": {"id": {"type": ["string", "null"]}, "type": {"enum": ["function", null]}, "function": {"type": "object", "properties": {
              "name": {"type": "string"}, "arguments": {"type": ["object", "string", "null"], "description": "A JSON object, or its text"}}, "required": ["name"]}}, "required": ["function"]},
            "Message": {"anyOf": [
              {"type": "object", "properties": {"role": {"enum": ["system", "developer", "user", "tool"]}, "content": {"$ref": "#/components/schemas/Content"},
                "name": {"type": ["string", "null"]}, "tool_call_id": {"type": ["string", "null"]}, "tool_calls": {"type": ["array", "null"], "maxItems": 0}}, "required": ["role", "content"]},
              {"type": "object", "properties": {"role": {"const": "assistant"}, "content": {"$ref": "#/components/schemas/Content"},
                "name": {"type": ["string", "null"]}, "tool_calls": {"type": ["array", "null"], "items": {"$ref": "#/components/schemas/Call"}}}, "required": ["role", "content"]},
              {"type": "object", "properties": {"role": {"const": "assistant"}, "content": {"anyOf": [{"$ref": "#/components/schemas/Content"}, {"type": ["array", "null"], "maxItems": 0}]},
                "tool_calls": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Call"}}}, "required": ["role", "tool_calls"]}]},
            "Messages": {"type": "array", "minItems": 1, "maxItems": \#(limits.messages), "items": {"$ref": "#/components/schemas/Message"}},
            "FunctionName": {"type": "string", "pattern": "^[A-Za-z0-9_.-]+$", "minLength": 1, "maxLength": 128},
            "Tool": {"type": "object", "properties": {"type": {"enum": ["function", null]}, "function": {"type": "object", "properties": {
              "name": {"$ref": "#/components/schemas/FunctionName"}, "description": {"type": ["string", "null"]}, "parameters": {"type": ["object", "null"], "description": "A JSON Schema"},
              "strict": \#(flag)}, "required": ["name"]}}, "required": ["function"]},
            "Tools": {"type": ["array", "null"], "maxItems": \#(limits.tools), "items": {"$ref": "#/components/schemas/Tool"}},
            "ToolChoice": {"anyOf": [{"enum": ["none", "auto", "required", "any", null]}, {"type": "object", "properties": {"type": {"enum": ["function", null]},
              "function": {"type": "object", "properties": {"name": {"$ref": "#/components/schemas/FunctionName"}}, "required": ["name"]}}, "required": ["function"]}],
              "description": "What asks for a call needs tools; a name must be one of theirs"},
            "Chat": {"allOf": [{"$ref": "#/components/schemas/Sampling"}, {"type": "object", "properties": {
              "messages": {"$ref": "#/components/schemas/Messages"}, "max_tokens": \#(answerTokens), "max_completion_tokens": \#(answerTokens), "logprobs": \#(flag),
              "top_logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": \#(limits.logprobs), "description": "Needs logprobs"},
              "tools": {"$ref": "#/components/schemas/Tools"}, "tool_choice": {"$ref": "#/components/schemas/ToolChoice"}, "parallel_tool_calls": \#(flag),
              "chat_template_kwargs": {"type": ["object", "null"], "properties": {"messages": {"type": "null"}, "tools": {"type": "null"}}},
              "add_generation_prompt": \#(flag), "continue_final_message": {"type": ["boolean", "null"], "description": "The last message is the assistant's, and its text goes on"},
              "modalities": {"anyOf": [{"const": ["text"]}, {"const": "text"}, {"type": "null"}]},
              "audio": \#(never), "prediction": \#(never), "web_search_options": \#(never), "reasoning_effort": \#(never), "verbosity": \#(never), "documents": \#(never), "chat_template": \#(never)},
              "required": ["messages"]}]},
            "Completion": {"allOf": [{"$ref": "#/components/schemas/Sampling"}, {"type": "object", "properties": {
              "prompt": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "minItems": 1, "maxItems": \#(context - 1), "items": \#(token)},
                {"type": "array", "minItems": 1, "maxItems": \#(limits.prompts), "items": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "minItems": 1, "maxItems": \#(context - 1), "items": \#(token)}]}}]},
              "max_tokens": {"type": ["integer", "null"], "minimum": 0, "maximum": \#(context), "description": "0 with echo only"},
              "echo": \#(flag), "add_special_tokens": \#(flag), "logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": \#(limits.logprobs)}}, "required": ["prompt"]}]},
            "ResponsesTool": {"type": "object", "properties": {"type": {"const": "function"}, "name": {"$ref": "#/components/schemas/FunctionName"}, "description": {"type": ["string", "null"]},
              "parameters": {"type": ["object", "null"]}, "strict": \#(flag)}, "required": ["type", "name"]},
            "ResponsesContent": {"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"anyOf": [
              {"type": "object", "properties": {"type": {"enum": ["text", "input_text", "output_text"]}, "text": {"type": "string"}}, "required": ["type", "text"]}\#(inputImage)]}}]},
            "ResponsesItem": {"anyOf": [
              {"type": "object", "properties": {"type": {"enum": ["message", null]}, "role": {"enum": ["system", "developer", "user", "assistant"]}, "content": {"$ref": "#/components/schemas/ResponsesContent"}}, "required": ["role", "content"]},
              {"type": "object", "properties": {"type": {"const": "function_call"}, "call_id": {"type": ["string", "null"]}, "name": {"type": "string"}, "arguments": {"type": ["string", "null"], "description": "A JSON object's text"}}, "required": ["type", "name"]},
              {"type": "object", "properties": {"type": {"const": "function_call_output"}, "call_id": {"type": ["string", "null"]}, "output": {"$ref": "#/components/schemas/Content"}}, "required": ["type", "output"]}]},
            "Responses": {"type": "object", "properties": {"model": \#(model),
              "input": {"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/ResponsesItem"}}]},
              "instructions": {"type": ["string", "null"]}, "max_output_tokens": \#(answerTokens), "stream": \#(flag), "temperature": \#(single), "top_p": \#(share), "seed": \#(integer64),
              "text": {"type": ["object", "null"], "properties": {"format": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"type": {"enum": ["text", "json_object"]}}, "required": ["type"], "additionalProperties": false},
                {"$ref": "#/components/schemas/SchemaFormat"}]},
                "verbosity": {"enum": ["medium", null]}}, "additionalProperties": {"type": "null"}},
              "tools": {"type": ["array", "null"], "maxItems": \#(limits.tools), "items": {"$ref": "#/components/schemas/ResponsesTool"}},
              "tool_choice": {"anyOf": [{"enum": ["none", "auto", "required", null]}, {"type": "object", "properties": {"type": {"const": "function"}, "name": {"$ref": "#/components/schemas/FunctionName"}}, "required": ["type", "name"]}]},
              "parallel_tool_calls": \#(flag), "store": \#(notTrue), "background": \#(notTrue), "previous_response_id": \#(never), "conversation": \#(never), "reasoning": \#(never),
              "truncation": {"enum": ["disabled", null]}, "stop": \#(texts), "top_k": \#(topK), "min_p": \#(unit), "presence_penalty": \#(penalty), "frequency_penalty": \#(penalty),
              "stream_options": {"type": ["object", "null"], "properties": {"include_usage": \#(flag), "include_obfuscation": \#(flag)}, "additionalProperties": {"type": "null"}, "description": "Only when stream is true"},
              \#(labels)}, "required": ["input"]},
            "AnthropicText": {"type": "object", "properties": {"type": {"const": "text"}, "text": {"type": "string"}}, "required": ["type", "text"]},
            "AnthropicTexts": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/components/schemas/AnthropicText"}}]},
            "AnthropicMessage": {"anyOf": [
              {"type": "object", "properties": {"role": {"const": "user"}, "content": {"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"anyOf": [{"$ref": "#/components/schemas/AnthropicText"},
                {"type": "object", "properties": {"type": {"const": "tool_result"}, "tool_use_id": {"type": ["string", "null"]}, "content": {"$ref": "#/components/schemas/AnthropicTexts"}, "is_error": \#(flag)}, "required": ["type"]}\#(imageBlock)]}}]}}, "required": ["role", "content"]},
              {"type": "object", "properties": {"role": {"const": "assistant"}, "content": {"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"anyOf": [{"$ref": "#/components/schemas/AnthropicText"},
                {"type": "object", "properties": {"type": {"const": "tool_use"}, "id": {"type": ["string", "null"]}, "name": {"type": "string"}, "input": {"type": "object"}}, "required": ["type", "name"]}]}}]}}, "required": ["role", "content"]}]},
            "AnthropicMessages": {"type": "array", "minItems": 1, "maxItems": \#(limits.messages), "items": {"$ref": "#/components/schemas/AnthropicMessage"}},
            "AnthropicTools": {"type": ["array", "null"], "maxItems": \#(limits.tools), "items": {"type": "object", "properties": {"type": {"enum": ["custom", null]}, "name": {"$ref": "#/components/schemas/FunctionName"},
              "description": {"type": ["string", "null"]}, "input_schema": {"type": ["object", "null"]}, "strict": \#(flag)}, "required": ["name"]}},
            "AnthropicToolChoice": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"type": {"enum": ["auto", "any", "none"]}, "disable_parallel_tool_use": \#(flag)}, "required": ["type"]},
              {"type": "object", "properties": {"type": {"const": "tool"}, "name": {"$ref": "#/components/schemas/FunctionName"}, "disable_parallel_tool_use": \#(flag)}, "required": ["type", "name"]}]},
            "AnthropicRequest": {"type": "object", "properties": {"model": \#(model), "max_tokens": {"type": "integer", "minimum": 1, "maximum": \#(context)},
              "messages": {"$ref": "#/components/schemas/AnthropicMessages"}, "system": {"anyOf": [{"$ref": "#/components/schemas/AnthropicTexts"}, {"type": "null"}]}, "stop_sequences": \#(texts),
              "stream": \#(flag), "temperature": \#(single), "top_p": \#(share), "top_k": \#(topK), "tools": {"$ref": "#/components/schemas/AnthropicTools"},
              "tool_choice": {"$ref": "#/components/schemas/AnthropicToolChoice"}, "thinking": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"type": {"const": "disabled"}}, "required": ["type"]}]},
              "output_config": {"type": ["object", "null"], "properties": {"format": {"anyOf": [{"type": "null"}, {"$ref": "#/components/schemas/SchemaFormat"}]}}, "additionalProperties": {"type": "null"}},
              "metadata": {}, "service_tier": {}},
              "required": ["max_tokens", "messages"]},
            "CountTokens": {"type": "object", "properties": {"model": \#(model), "messages": {"$ref": "#/components/schemas/AnthropicMessages"},
              "system": {"anyOf": [{"$ref": "#/components/schemas/AnthropicTexts"}, {"type": "null"}]}, "tools": {"$ref": "#/components/schemas/AnthropicTools"},
              "tool_choice": {"$ref": "#/components/schemas/AnthropicToolChoice"}}, "required": ["messages"]},
            "OllamaOptions": {"type": ["object", "null"], "properties": {"temperature": \#(single), "top_k": \#(topK), "top_p": \#(share), "min_p": \#(unit), "typical_p": \#(share), "seed": \#(integer64),
              "stop": \#(texts), "repeat_penalty": {"type": ["number", "null"], "minimum": 0.01, "maximum": 100}, "presence_penalty": \#(penalty), "frequency_penalty": \#(penalty),
              "num_predict": {"type": ["integer", "null"], "minimum": -9223372036854775808, "maximum": \#(context), "description": "Below 0 for no limit; 0 is refused"},
              \#(OllamaRequest.optionsOfServer.sorted().map { #""\#($0)": {}"# }.joined(separator: ", ")), "repeat_last_n": {}}, "additionalProperties": {"type": "null"}},
            "OllamaFormat": {"anyOf": [{"enum": ["json", "", null]}, {"type": ["object", "boolean"], "description": "A JSON Schema"}]},
            "OllamaChat": {"type": "object", "properties": {"model": \#(model), "messages": {"anyOf": [{"$ref": "#/components/schemas/Messages"}, {"type": ["array", "null"], "maxItems": 0}], "description": "None: the model is only loaded"}, "stream": \#(flag),
              "format": {"$ref": "#/components/schemas/OllamaFormat"}, "options": {"$ref": "#/components/schemas/OllamaOptions"}, "tools": {"$ref": "#/components/schemas/Tools"},
              "think": {"enum": [false, null]}, "keep_alive": {}}},
            "OllamaGenerate": {"type": "object", "properties": {"model": \#(model), "prompt": {"type": ["string", "null"]}, "system": {"type": ["string", "null"]}, "raw": \#(flag), "stream": \#(flag)\#(images),
              "format": {"$ref": "#/components/schemas/OllamaFormat"}, "options": {"$ref": "#/components/schemas/OllamaOptions"}, "think": {"enum": [false, null]}, "keep_alive": {}}},
            "Texts": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "minItems": 1, "maxItems": \#(context), "items": \#(token)},
              {"type": "array", "minItems": 1, "maxItems": \#(limits.embeddingInputs), "items": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "minItems": 1, "maxItems": \#(context), "items": \#(token)}]}}]},
            "Embeddings": {"type": "object", "properties": {"model": \#(model), "input": {"$ref": "#/components/schemas/Texts"},
              "encoding_format": {"enum": ["float", "base64", null]}, "add_special_tokens": \#(flag), "dimensions": {"enum": [\#(facts.embeddingWidth), null]},
              "priority": {"type": ["integer", "null"], "minimum": -1000000, "maximum": 1000000}, "user": {}}, "required": ["input"]},
            "OllamaEmbed": {"type": "object", "properties": {"model": \#(model), "input": {"$ref": "#/components/schemas/Texts"},
              "truncate": \#(flag), "dimensions": {"enum": [\#(facts.embeddingWidth), null]}, "options": {}, "keep_alive": {}}, "required": ["input"]},
            "OllamaEmbeddings": {"type": "object", "properties": {"model": \#(model), "prompt": {"type": "string", "minLength": 1}, "options": {}, "keep_alive": {}}, "required": ["prompt"]},
            "OllamaShow": {"type": "object", "properties": {"model": \#(model), "name": \#(model)}},
            "Tokenize": {"anyOf": [
              {"type": "object", "properties": {"model": \#(model), "prompt": {"type": "string"}, "messages": {"type": "null"}, "add_special_tokens": \#(flag), "return_token_strs": \#(flag)}, "required": ["prompt"]},
              {"type": "object", "properties": {"model": \#(model), "prompt": {"type": "null"}, "messages": {"$ref": "#/components/schemas/Messages"}, "tools": {"$ref": "#/components/schemas/Tools"}, "return_token_strs": \#(flag), "add_generation_prompt": \#(flag),
                "chat_template_kwargs": {"type": ["object", "null"], "properties": {"messages": {"type": "null"}, "tools": {"type": "null"}}}, "continue_final_message": \#(flag)}, "required": ["messages"]}]},
            "Detokenize": {"type": "object", "properties": {"model": \#(model), "tokens": {"type": "array", "items": \#(token)}}, "required": ["tokens"]},
            "Template": {"type": "object", "properties": {"model": \#(model), "messages": {"$ref": "#/components/schemas/Messages"}, "tools": {"$ref": "#/components/schemas/Tools"},
              "chat_template_kwargs": {"type": ["object", "null"], "properties": {"messages": {"type": "null"}, "tools": {"type": "null"}}}, "add_generation_prompt": \#(flag), "continue_final_message": \#(flag)},
              "required": ["messages"]}
            """#
    }
}
