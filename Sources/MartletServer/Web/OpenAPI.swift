import MartletJinja

/// The description of the server's routes (OpenAPI 3.1) at `/openapi.json`, and the page at `/docs` that shows it.
enum OpenAPI {
    /// What the description says of the model that is served.
    struct Facts {
        var names: [String]
        var vocabularySize: Int
        var contextLength: Int
        var embeddingWidth: Int
        var seesImages: Bool
        var hasKeys: Bool
        var limits = ServerLimits()

        /// The schema of `model`.
        var modelNames: String {
            let document = Value.dictionary([
                ("enum", .list(names.map(Value.string) + [.null])),
                ("description", .string("One of the served names; may be left out")),
            ])
            return (try? document.json()) ?? "{}"
        }
    }

    private struct Route {
        var path: String
        var method: String
        var summary: String
        /// The name of the request's schema.
        var body: String?
        /// The name of the answer's schema; nil for text.
        var answer: String?
        /// The media type of an answer that comes in parts.
        var stream: String?
        var isOpen = false
    }

    private static let events = "text/event-stream"

    private static let routes: [Route] = [
        .init(
            path: "/v1/chat/completions", method: "post", summary: "Answer a conversation (OpenAI)", body: "Chat",
            answer: "ChatAnswer", stream: events),
        .init(
            path: "/v1/completions", method: "post", summary: "Continue texts (OpenAI)", body: "Completion",
            answer: "CompletionAnswer", stream: events),
        .init(
            path: "/v1/responses", method: "post", summary: "Answer an input, statelessly (OpenAI)", body: "Responses",
            answer: "ResponsesAnswer", stream: events),
        .init(
            path: "/v1/messages", method: "post", summary: "Answer a conversation (Anthropic)",
            body: "AnthropicRequest", answer: "AnthropicAnswer", stream: events),
        .init(
            path: "/v1/messages/count_tokens", method: "post", summary: "Count a conversation's tokens (Anthropic)",
            body: "CountTokens", answer: "CountTokensAnswer"),
        .init(
            path: "/v1/embeddings", method: "post", summary: "Vectors of texts (OpenAI)", body: "Embeddings",
            answer: "EmbeddingsAnswer"),
        .init(path: "/v1/models", method: "get", summary: "What is served", answer: "Models"),
        .init(path: "/v1/models/{model}", method: "get", summary: "About a model", answer: "Model"),
        .init(
            path: "/api/chat", method: "post", summary: "Answer a conversation (Ollama)", body: "OllamaChat",
            answer: "OllamaChatAnswer", stream: "application/x-ndjson"),
        .init(
            path: "/api/generate", method: "post", summary: "Answer a prompt (Ollama)", body: "OllamaGenerate",
            answer: "OllamaGenerateAnswer", stream: "application/x-ndjson"),
        .init(
            path: "/api/embed", method: "post", summary: "Vectors of texts (Ollama)", body: "OllamaEmbed",
            answer: "OllamaEmbedAnswer"),
        .init(
            path: "/api/embeddings", method: "post", summary: "The vector of a text (Ollama)", body: "OllamaEmbeddings",
            answer: "OllamaEmbeddingsAnswer"),
        .init(
            path: "/api/show", method: "post", summary: "About a model (Ollama)", body: "OllamaShow",
            answer: "OllamaShowAnswer"),
        .init(path: "/api/tags", method: "get", summary: "What is served (Ollama)", answer: "OllamaModels"),
        .init(path: "/api/ps", method: "get", summary: "What is loaded (Ollama)", answer: "OllamaModels"),
        .init(path: "/api/version", method: "get", summary: "The version (Ollama)", answer: "Version"),
        .init(
            path: "/tokenize", method: "post", summary: "The tokens of a text or a conversation", body: "Tokenize",
            answer: "Tokens"),
        .init(path: "/detokenize", method: "post", summary: "The text of tokens", body: "Detokenize", answer: "Text"),
        .init(
            path: "/apply-template", method: "post", summary: "A conversation as the model gets it", body: "Template",
            answer: "Text"),
        .init(path: "/metrics", method: "get", summary: "Prometheus metrics"),
        .init(path: "/version", method: "get", summary: "The version", answer: "Version"),
        .init(path: "/health", method: "get", summary: "Whether the server runs", answer: "Health", isOpen: true),
        .init(
            path: "/ready", method: "get", summary: "Whether the server takes requests", answer: "Health", isOpen: true
        ),
        .init(path: "/openapi.json", method: "get", summary: "This description", answer: "Description"),
    ]

    static var paths: [(path: String, method: String, isOpen: Bool)] { routes.map { ($0.path, $0.method, $0.isOpen) } }

    static func document(version: String, _ facts: Facts) -> Value {
        let paths = routes.map { route in
            (route.path, Value.dictionary([(route.method, operation(route, facts))]))
        }
        let components = try? Value(json: components(facts))
        return .dictionary([
            ("openapi", .string("3.1.0")),
            ("info", .dictionary([("title", .string("Martlet")), ("version", .string(version))])),
            // Either of them will do.
            (
                "security",
                .list(
                    facts.hasKeys
                        ? [.dictionary([("bearer", .list([]))]), .dictionary([("header", .list([]))])] : [])
            ),
            ("paths", .dictionary(paths)), ("components", components ?? .dictionary([])),
        ])
    }

    private static func operation(_ route: Route, _ facts: Facts) -> Value {
        let text = Value.dictionary([("schema", .dictionary([("type", .string("string"))]))])
        var contents = [route.answer.map { ("application/json", content($0)) } ?? ("text/plain", text)]
        if let stream = route.stream { contents.append((stream, content(stream == events ? "Event" : "Lines"))) }
        let style =
            switch ErrorStyle(path: route.path) {
            case .openAI: "OpenAIError"
            case .anthropic: "AnthropicError"
            case .ollama: "OllamaError"
            }
        let error = Value.dictionary([
            ("description", .string("An error")),
            ("content", .dictionary([("application/json", content(style))])),
        ])
        let answer = Value.dictionary([
            ("description", .string("The answer")), ("content", .dictionary(contents)),
        ])
        var operation: [(String, Value)] = [
            ("summary", .string(route.summary)), ("responses", .dictionary([("200", answer), ("default", error)])),
        ]
        if let body = route.body {
            let content = Value.dictionary([("application/json", content(body))])
            operation.append(("requestBody", .dictionary([("required", .bool(true)), ("content", content)])))
        }
        if route.path.hasSuffix("/{model}") {
            let names = try? Value(json: facts.modelNames)
            operation.append(
                (
                    "parameters",
                    .list([
                        .dictionary([
                            ("name", .string("model")), ("in", .string("path")), ("required", .bool(true)),
                            ("schema", .dictionary([("type", .string("string")), ("enum", names?["enum"] ?? .null)])),
                        ])
                    ])
                ))
        }
        if route.isOpen { operation.append(("security", .list([]))) }
        return .dictionary(operation)
    }

    private static func content(_ schema: String) -> Value {
        .dictionary([("schema", .dictionary([("$ref", .string("#/components/schemas/\(schema)"))]))])
    }

    private static func components(_ facts: Facts) -> String {
        #"""
        {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}, "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key"}},
        "schemas": {\#(requests(facts)), \#(answers)}}
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
