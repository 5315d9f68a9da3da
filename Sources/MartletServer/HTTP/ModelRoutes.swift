import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Martlet
import MartletJinja

/// The routes that need the model: there are none before it is loaded.
struct ModelRoutes: Sendable {
    let model: ServedModel
    let options: ServerOptions
    let version: String
    let metrics: ServerMetrics
    let state: ServerState

    func respond(to request: Request, _ context: APIContext) async throws -> Response {
        let path = request.uri.path
        switch path {
        case "/v1/chat/completions": return try await completions(.chat, request, context)
        case "/v1/completions": return try await completions(.text, request, context)
        case "/v1/responses": return try await responses(request, context)
        case "/v1/messages": return try await messages(request, context)
        case "/v1/messages/count_tokens": return try await countTokens(request, context)
        case "/v1/embeddings": return try await embeddings(.openAI, request, context)
        case "/api/embed": return try await embeddings(.ollama, request, context)
        case "/api/embeddings": return try await embeddings(.ollamaOne, request, context)
        case "/api/chat": return try await ollama(.chat, request, context)
        case "/api/generate": return try await ollama(.generate, request, context)
        case "/api/tags", "/api/ps": return try ollamaModels(request)
        case "/api/show": return try await ollamaShow(request, context)
        case "/tokenize": return try await tokenize(request, context)
        case "/apply-template": return try await applyTemplate(request, context)
        case "/detokenize": return try await detokenize(request, context)
        case "/openapi.json":
            try APIResponder.check(request, .get)
            let facts = OpenAPI.Facts(
                names: model.names, vocabularySize: model.llm.vocabularySize, contextLength: model.llm.contextLength,
                embeddingWidth: model.llm.embeddingWidth,
                seesImages: model.llm.seesImages, hasKeys: !options.apiKeys.isEmpty, limits: options.limits)
            return Response(json: OpenAPI.document(version: version, facts))
        case "/v1/models":
            try APIResponder.check(request, .get)
            return Response(
                json: .dictionary([("object", .string("list")), ("data", .list(model.names.map(modelObject)))]))
        default:
            let prefix = "/v1/models/"
            guard path.hasPrefix(prefix) else { throw APIError(404, "Unknown path: \(path).", code: "not_found") }
            try APIResponder.check(request, .get)
            let name = path.dropFirst(prefix.count).removingPercentEncoding ?? ""
            guard model.names.contains(name) else { throw APIError.modelNotFound(name) }
            return Response(json: modelObject(name))
        }
    }

    private func modelObject(_ name: String) -> Value {
        .dictionary([
            ("id", .string(name)), ("object", .string("model")), ("created", .int(model.created)),
            ("owned_by", .string("martlet")), ("root", .string(model.name)),
            ("max_model_len", .int(model.llm.contextLength)),
            // As llama.cpp tells it.
            (
                "meta",
                .dictionary([
                    ("n_vocab", .int(model.llm.vocabularySize)), ("n_ctx_train", .int(model.llm.contextLength)),
                    ("n_embd", .int(model.llm.embeddingWidth)),
                ])
            ),
        ])
    }
}
