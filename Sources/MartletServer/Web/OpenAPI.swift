import MartletJinja

/// The description of the server's routes (OpenAPI 3.1) at `/openapi.json`, and the page at `/docs` that shows it.
enum OpenAPI {
    private struct Route {
        var path: String
        var method: String
        var summary: String
        /// The name of the request's schema.
        var body: String?
        /// The media types of its answers.
        var answers = ["application/json"]
        var isOpen = false
    }

    private static let routes: [Route] = [
        .init(
            path: "/v1/chat/completions", method: "post", summary: "Answer a conversation (OpenAI)", body: "Chat",
            answers: ["application/json", "text/event-stream"]),
        .init(
            path: "/v1/completions", method: "post", summary: "Continue texts (OpenAI)", body: "Completion",
            answers: ["application/json", "text/event-stream"]),
        .init(
            path: "/v1/responses", method: "post", summary: "Answer an input, statelessly (OpenAI)", body: "Responses",
            answers: ["application/json", "text/event-stream"]),
        .init(
            path: "/v1/messages", method: "post", summary: "Answer a conversation (Anthropic)", body: "Messages",
            answers: ["application/json", "text/event-stream"]),
        .init(
            path: "/v1/messages/count_tokens", method: "post", summary: "Count a conversation's tokens (Anthropic)",
            body: "CountTokens"),
        .init(path: "/v1/embeddings", method: "post", summary: "Vectors of texts (OpenAI)", body: "Embeddings"),
        .init(path: "/v1/models", method: "get", summary: "What is served"),
        .init(
            path: "/api/chat", method: "post", summary: "Answer a conversation (Ollama)", body: "OllamaChat",
            answers: ["application/json", "application/x-ndjson"]),
        .init(
            path: "/api/generate", method: "post", summary: "Answer a prompt (Ollama)", body: "OllamaGenerate",
            answers: ["application/json", "application/x-ndjson"]),
        .init(path: "/api/embed", method: "post", summary: "Vectors of texts (Ollama)", body: "OllamaEmbed"),
        .init(
            path: "/api/embeddings", method: "post", summary: "The vector of a text (Ollama)", body: "OllamaEmbeddings"),
        .init(path: "/api/show", method: "post", summary: "About a model (Ollama)", body: "OllamaShow"),
        .init(path: "/api/tags", method: "get", summary: "What is served (Ollama)"),
        .init(path: "/api/ps", method: "get", summary: "What is loaded (Ollama)"),
        .init(path: "/api/version", method: "get", summary: "The version (Ollama)"),
        .init(path: "/tokenize", method: "post", summary: "The tokens of a text or a conversation", body: "Tokenize"),
        .init(path: "/detokenize", method: "post", summary: "The text of tokens", body: "Detokenize"),
        .init(
            path: "/apply-template", method: "post", summary: "A conversation as the model gets it", body: "Template"),
        .init(path: "/metrics", method: "get", summary: "Prometheus metrics", answers: ["text/plain"]),
        .init(path: "/version", method: "get", summary: "The version"),
        .init(path: "/health", method: "get", summary: "Whether the server runs", isOpen: true),
        .init(path: "/ready", method: "get", summary: "Whether the server takes requests", isOpen: true),
        .init(path: "/openapi.json", method: "get", summary: "This description"),
    ]

    static var paths: [(path: String, method: String, isOpen: Bool)] { routes.map { ($0.path, $0.method, $0.isOpen) } }

    static func document(version: String, limits: ServerLimits = .init()) -> Value {
        var paths: [(String, Value)] = []
        for route in routes {
            let contents = route.answers.map { ($0, Value.dictionary([("schema", .dictionary([]))])) }
            var operation: [(String, Value)] = [
                ("summary", .string(route.summary)),
                (
                    "responses",
                    .dictionary([
                        (
                            "200",
                            .dictionary([("description", .string("OK")), ("content", .dictionary(contents))])
                        ),
                        ("default", .dictionary([("$ref", .string("#/components/responses/Error"))])),
                    ])
                ),
            ]
            if let body = route.body {
                let schema = Value.dictionary([("$ref", .string("#/components/schemas/\(body)"))])
                let content = Value.dictionary([("application/json", .dictionary([("schema", schema)]))])
                operation.append(("requestBody", .dictionary([("required", .bool(true)), ("content", content)])))
            }
            if route.isOpen { operation.append(("security", .list([]))) }
            paths.append((route.path, .dictionary([(route.method, .dictionary(operation))])))
        }
        let components = (try? Value(json: components(limits))) ?? .dictionary([])
        return .dictionary([
            ("openapi", .string("3.1.0")),
            ("info", .dictionary([("title", .string("Martlet")), ("version", .string(version))])),
            ("security", .list([.dictionary([("key", .list([]))]), .dictionary([])])),
            ("paths", .dictionary(paths)), ("components", components),
        ])
    }

    private static func components(_ limits: ServerLimits) -> String {
        #"""
        {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        "responses": {"Error": {"description": "An error", "content": {"application/json": {"schema": {"type": "object"}}}}},
        "schemas": {
        "Sampling": {"type": "object", "properties": {
          "model": {"type": "string", "description": "One of the served names; may be left out"},
          "max_tokens": {"type": ["integer", "null"], "minimum": 1}, "min_tokens": {"type": ["integer", "null"], "minimum": 0},
          "n": {"type": ["integer", "null"], "minimum": 1, "maximum": \#(limits.choices)}, "best_of": {"type": ["integer", "null"], "minimum": 1, "maximum": \#(limits.choices)},
          "stream": {"type": ["boolean", "null"]},
          "stream_options": {"type": ["object", "null"], "properties": {"include_usage": {"type": "boolean"}}, "additionalProperties": false},
          "stop": {"type": ["string", "array", "null"], "items": {"type": "string"}, "maxItems": \#(limits.stopStrings)},
          "stop_token_ids": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 0}},
          "include_stop_str_in_output": {"type": ["boolean", "null"]}, "ignore_eos": {"type": ["boolean", "null"]},
          "skip_special_tokens": {"type": ["boolean", "null"]}, "seed": {"type": ["integer", "null"]},
          "temperature": {"type": ["number", "null"], "minimum": 0}, "top_p": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1},
          "top_k": {"type": ["integer", "null"], "minimum": -1}, "min_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
          "typical_p": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1},
          "xtc_probability": {"type": ["number", "null"], "minimum": 0, "maximum": 1}, "xtc_threshold": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
          "repetition_penalty": {"type": ["number", "null"], "exclusiveMinimum": 0},
          "presence_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2}, "frequency_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
          "logit_bias": {"type": ["object", "null"], "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100}, "description": "By token id"},
          "bad_words": {"type": ["array", "null"], "items": {"type": "string"}}, "allowed_token_ids": {"type": ["array", "null"], "items": {"type": "integer"}},
          "prompt_logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": \#(limits.logprobs)},
          "priority": {"type": ["integer", "null"], "minimum": -1000000, "maximum": 1000000, "description": "Low numbers first"},
          "cache_salt": {"type": ["string", "null"], "description": "Cached prefixes are shared with requests of the same salt only"},
          "response_format": {"$ref": "#/components/schemas/ResponseFormat"},
          "structured_outputs": {"type": ["object", "null"], "description": "One of json, json_object, regex, choice, grammar"},
          "guided_json": {"type": ["object", "string", "boolean", "null"]}, "guided_regex": {"type": ["string", "null"]},
          "guided_choice": {"type": ["array", "null"], "items": {"type": "string"}}, "guided_grammar": {"type": ["string", "null"]}}},
        "ResponseFormat": {"type": ["object", "null"], "properties": {"type": {"enum": ["text", "json_object", "json_schema"]},
          "json_schema": {"type": "object", "properties": {"name": {"type": "string"}, "strict": {"type": ["boolean", "null"]}, "schema": {"type": "object"}}, "required": ["schema"]}}, "required": ["type"]},
        "Message": {"type": "object", "properties": {"role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
          "content": {"type": ["string", "array", "null"], "items": {"type": "object"}}, "tool_calls": {"type": ["array", "null"], "items": {"type": "object"}},
          "tool_call_id": {"type": "string"}}, "required": ["role"]},
        "Tool": {"type": "object", "properties": {"type": {"const": "function"}, "function": {"type": "object", "properties": {
          "name": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,128}$"}, "description": {"type": "string"}, "parameters": {"type": "object"}, "strict": {"type": ["boolean", "null"]}}, "required": ["name"]}}, "required": ["type", "function"]},
        "Chat": {"allOf": [{"$ref": "#/components/schemas/Sampling"}, {"type": "object", "properties": {
          "messages": {"type": "array", "minItems": 1, "maxItems": \#(limits.messages), "items": {"$ref": "#/components/schemas/Message"}},
          "max_completion_tokens": {"type": ["integer", "null"], "minimum": 1}, "logprobs": {"type": ["boolean", "null"]},
          "top_logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": \#(limits.logprobs)}, "tools": {"type": ["array", "null"], "maxItems": \#(limits.tools), "items": {"$ref": "#/components/schemas/Tool"}},
          "tool_choice": {"type": ["string", "object", "null"]}, "parallel_tool_calls": {"type": ["boolean", "null"]},
          "chat_template_kwargs": {"type": ["object", "null"]}, "add_generation_prompt": {"type": ["boolean", "null"]},
          "continue_final_message": {"type": ["boolean", "null"]}}, "required": ["messages"]}]},
        "Completion": {"allOf": [{"$ref": "#/components/schemas/Sampling"}, {"type": "object", "properties": {
          "prompt": {"type": ["string", "array"]}, "echo": {"type": ["boolean", "null"]}, "add_special_tokens": {"type": ["boolean", "null"]},
          "logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": \#(limits.logprobs)}}, "required": ["prompt"]}]},
        "Responses": {"type": "object", "properties": {"model": {"type": "string"}, "input": {"type": ["string", "array"]}, "instructions": {"type": ["string", "null"]},
          "max_output_tokens": {"type": ["integer", "null"], "minimum": 1}, "stream": {"type": ["boolean", "null"]}, "temperature": {"type": ["number", "null"], "minimum": 0},
          "top_p": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1}, "text": {"type": "object"}, "tools": {"type": "array", "items": {"type": "object"}},
          "tool_choice": {"type": ["string", "object"]}, "parallel_tool_calls": {"type": "boolean"}, "store": {"const": false}}, "required": ["input"]},
        "Messages": {"type": "object", "properties": {"model": {"type": "string"}, "max_tokens": {"type": "integer", "minimum": 1},
          "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}}, "system": {"type": ["string", "array"]}, "stop_sequences": {"type": "array", "items": {"type": "string"}},
          "stream": {"type": "boolean"}, "temperature": {"type": "number", "minimum": 0}, "top_p": {"type": "number"}, "top_k": {"type": "integer"},
          "tools": {"type": "array", "items": {"type": "object"}}, "tool_choice": {"type": "object"}}, "required": ["max_tokens", "messages"]},
        "CountTokens": {"type": "object", "properties": {"model": {"type": "string"}, "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
          "system": {"type": ["string", "array"]}, "tools": {"type": "array", "items": {"type": "object"}}}, "required": ["messages"]},
        "OllamaChat": {"type": "object", "properties": {"model": {"type": "string"}, "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
          "stream": {"type": "boolean"}, "format": {"type": ["string", "object"]}, "options": {"type": "object"}, "tools": {"type": "array", "items": {"type": "object"}}}, "required": ["messages"]},
        "OllamaGenerate": {"type": "object", "properties": {"model": {"type": "string"}, "prompt": {"type": "string"}, "system": {"type": "string"},
          "raw": {"type": "boolean"}, "stream": {"type": "boolean"}, "format": {"type": ["string", "object"]}, "options": {"type": "object"}}},
        "Embeddings": {"type": "object", "properties": {"model": {"type": "string"},
          "input": {"type": ["string", "array"], "minItems": 1, "maxItems": \#(limits.embeddingInputs), "items": {"type": ["string", "integer", "array"], "items": {"type": "integer", "minimum": 0}}},
          "encoding_format": {"enum": ["float", "base64", null]}, "add_special_tokens": {"type": ["boolean", "null"]},
          "dimensions": {"type": ["integer", "null"], "description": "Must be the vectors' own width"}, "priority": {"type": ["integer", "null"], "minimum": -1000000, "maximum": 1000000},
          "user": {"type": ["string", "null"]}}, "required": ["input"]},
        "OllamaEmbed": {"type": "object", "properties": {"model": {"type": "string"}, "input": {"type": ["string", "array"], "items": {"type": "string"}},
          "truncate": {"type": ["boolean", "null"]}, "dimensions": {"type": ["integer", "null"]}, "options": {"type": "object"}}, "required": ["input"]},
        "OllamaEmbeddings": {"type": "object", "properties": {"model": {"type": "string"}, "prompt": {"type": "string"}, "options": {"type": "object"}}, "required": ["prompt"]},
        "OllamaShow": {"type": "object", "properties": {"model": {"type": "string"}}},
        "Tokenize": {"type": "object", "properties": {"model": {"type": "string"}, "prompt": {"type": "string"}, "messages": {"type": "array", "items": {"$ref": "#/components/schemas/Message"}},
          "add_special_tokens": {"type": "boolean"}, "return_token_strs": {"type": "boolean"}}},
        "Detokenize": {"type": "object", "properties": {"model": {"type": "string"}, "tokens": {"type": "array", "items": {"type": "integer", "minimum": 0}}}, "required": ["tokens"]},
        "Template": {"type": "object", "properties": {"model": {"type": "string"}, "messages": {"type": "array", "minItems": 1, "maxItems": \#(limits.messages), "items": {"$ref": "#/components/schemas/Message"}},
          "tools": {"type": "array", "items": {"$ref": "#/components/schemas/Tool"}}, "chat_template_kwargs": {"type": "object"},
          "add_generation_prompt": {"type": "boolean"}, "continue_final_message": {"type": "boolean"}}, "required": ["messages"]}
        }}
        """#
    }

    static let page = #"""
        <!doctype html>
        <html lang="en">
        <head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Martlet: routes</title>
        <style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:auto;padding:1rem}
        summary{cursor:pointer;padding:.3rem 0}code,pre{font-family:ui-monospace,monospace}pre{overflow-x:auto;padding:.6rem;border:1px solid #8886;border-radius:.5rem}</style></head>
        <body><h1>Martlet</h1><p><a href="openapi.json">openapi.json</a></p><div id="routes"></div>
        <script>
        "use strict";
        const resolve = (all, value) => {
          if (Array.isArray(value)) return value.map(v => resolve(all, v));
          if (!value || typeof value !== "object") return value;
          if (value.$ref) return resolve(all, value.$ref.split("/").slice(1).reduce((v, name) => v[name], all));
          return Object.fromEntries(Object.entries(value).map(([name, v]) => [name, resolve(all, v)]));
        };
        fetch("openapi.json", { headers: sessionStorage.getItem("key") ? { Authorization: "Bearer " + sessionStorage.getItem("key") } : {} }).then(r => r.json()).then(all => {
          for (const [path, methods] of Object.entries(all.paths)) for (const [method, route] of Object.entries(methods)) {
            const details = document.createElement("details"), summary = document.createElement("summary"), code = document.createElement("code"), pre = document.createElement("pre");
            code.textContent = method.toUpperCase() + " " + path; summary.append(code, " " + route.summary);
            pre.textContent = JSON.stringify(resolve(all, route.requestBody ? route.requestBody.content["application/json"].schema : {}), null, 1);
            details.append(summary, pre); document.getElementById("routes").append(details);
          }
        });
        </script></body></html>
        """#
}
