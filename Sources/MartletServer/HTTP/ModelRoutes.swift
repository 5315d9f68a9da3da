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
    let largeRequests: LargeRequestExecutor
    let bodyMemory: BodyMemory

    func respond(to request: Request, _ context: APIContext) async throws -> Response {
        let path = request.uri.path
        if let route = documentRoute(path) {
            // What was read stays in memory, in one form or another, until there is an answer, or the first part of one.
            let share = BodyMemory.Share(of: bodyMemory)
            defer { share.giveBack() }
            let bytes = try await body(of: request, context, share, isQueued: route.isQueued)
            // Tasks of their own don't inherit the preference: the engine's answers are waited for elsewhere.
            let executor = bytes.count >= LargeRequestExecutor.threshold ? largeRequests : nil
            return try await withTaskExecutorPreference(executor) { try await route.answer(document(bytes), context) }
        }
        switch path {
        case "/api/tags", "/api/ps": return try ollamaModels(request)
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

    private typealias DocumentRoute = (
        isQueued: Bool, answer: @Sendable (_ document: Value, _ context: APIContext) async throws -> Response
    )

    /// Who answers a JSON document, and whether that is a request for the engine's queue.
    private func documentRoute(_ path: String) -> DocumentRoute? {
        switch path {
        case "/v1/chat/completions": (true, { try await completions(.chat, $0, $1) })
        case "/v1/completions": (true, { try await completions(.text, $0, $1) })
        case "/v1/responses": (true, { try await responses($0, $1) })
        case "/v1/messages": (true, { try await messages($0, $1) })
        case "/api/chat": (true, { try await ollama(.chat, $0, $1) })
        case "/api/generate": (true, { try await ollama(.generate, $0, $1) })
        case "/v1/messages/count_tokens": (false, { document, _ in try countTokens(document) })
        case "/v1/embeddings": (false, { try await embeddings(.openAI, $0, $1) })
        case "/api/embed": (false, { try await embeddings(.ollama, $0, $1) })
        case "/api/embeddings": (false, { try await embeddings(.ollamaOne, $0, $1) })
        case "/api/show": (false, { document, _ in try ollamaShow(document) })
        case "/tokenize": (false, { document, _ in try tokenize(document) })
        case "/apply-template": (false, { document, _ in try applyTemplate(document) })
        case "/detokenize": (false, { document, _ in try detokenize(document) })
        default: nil
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
