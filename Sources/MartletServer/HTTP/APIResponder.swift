import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import Martlet
import MartletJinja
import NIOHTTP1
import Synchronization

/// Finds the route of a request, checks who sent it, and makes responses of errors.
struct APIResponder: HTTPResponder {
    let model: ServedModel
    let options: ServerOptions
    let version: String
    let logger: Logger
    let metrics: ServerMetrics
    private let access: AccessControl
    private let isDraining = SharedFlag()

    init(model: ServedModel, options: ServerOptions, version: String, logger: Logger) {
        self.model = model
        self.options = options
        self.version = version
        self.logger = logger
        metrics = ServerMetrics(contextLength: model.llm.contextLength)
        access = AccessControl(options)
    }

    /// No new requests; returns when those that are there have ended, or were ended after the time-out.
    func drain(timeout: Duration) async {
        isDraining.set()
        let deadline = Task { [llm = model.llm] in
            try await Task.sleep(for: timeout)
            await llm.shutdown()
        }
        await model.llm.drain()
        deadline.cancel()
    }

    func checkReadiness() throws(APIError) {
        guard isDraining.isSet else { return }
        var error = APIError(503, "The server is shutting down.", code: "service_unavailable")
        error.type = "server_error"
        throw error
    }

    func respond(to request: Request, context: APIContext) async throws -> Response {
        let start = ContinuousClock.now
        let id = Self.requestID(of: request)
        var response: Response
        do {
            response = try await route(request, context)
        } catch let error as APIError {
            response = self.response(to: error, ErrorStyle(path: request.uri.path))
        } catch let error as HTTPParserError {
            // The connection can't go on; Hummingbird answers 400 and closes it.
            throw error
        } catch is CancellationError {
            // The client is gone; nobody reads this. The status is nginx's, for the log.
            response = Response(status: .init(code: 499, reasonPhrase: "Client Closed Request"))
        } catch {
            logger.error("a request failed", metadata: ["request": "\(id)", "error": "\(error)"])
            response = self.response(to: .internalError, ErrorStyle(path: request.uri.path))
        }
        if request.method == .head {
            let length = response.headers[.contentLength]
            response.body = .init()
            response.headers[.contentLength] = length
        }
        response.headers[.requestID] = id
        response.headers.append(contentsOf: access.corsHeaders(request))
        metrics.countHTTP(status: response.status.code)
        logger.info(
            "\(request.method) \(request.uri.path) \(response.status.code)",
            metadata: [
                "request": "\(id)", "ms": "\(Int((ContinuousClock.now - start).seconds * 1000))",
                "trace": "\(Self.traceID(of: request) ?? "-")",
            ])
        return response
    }

    private func route(_ request: Request, _ context: APIContext) async throws -> Response {
        try access.checkOrigin(request)
        if let response = access.preflight(request) { return response }
        let path = request.uri.path
        if path == "/", options.servesWebPage {
            try Self.check(request, .get)
            return Response(html: WebPage.html, policy: WebPage.policy)
        }
        if path == "/docs", options.servesWebPage {
            try Self.check(request, .get)
            return Response(html: OpenAPI.page, policy: WebPage.policy)
        }
        if path == "/health" || path == "/ready" {
            try Self.check(request, .get)
            if path == "/ready" { try checkReadiness() }
            return Response(json: .dictionary([]))
        }
        try access.checkKey(request)
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
        case "/api/tags", "/api/ps", "/api/version": return try await ollamaInformation(request)
        case "/api/show": return try await ollamaShow(request, context)
        case "/tokenize": return try await tokenize(request, context)
        case "/apply-template": return try await applyTemplate(request, context)
        case "/detokenize": return try await detokenize(request, context)
        case "/openapi.json":
            try Self.check(request, .get)
            let facts = OpenAPI.Facts(
                names: model.names, vocabularySize: model.llm.vocabularySize, contextLength: model.llm.contextLength,
                embeddingWidth: model.llm.embeddingWidth,
                seesImages: model.llm.seesImages, hasKeys: !options.apiKeys.isEmpty, limits: options.limits)
            return Response(json: OpenAPI.document(version: version, facts))
        case "/version":
            try Self.check(request, .get)
            return Response(json: .dictionary([("version", .string(version))]))
        case "/metrics":
            try Self.check(request, .get)
            return Response(
                text: metrics.text(
                    await model.llm.statistics, model: model.name,
                    prefix: options.usesMetricNamesOfVLLM ? "vllm:" : "martlet:"))
        case "/v1/models":
            try Self.check(request, .get)
            return Response(
                json: .dictionary([("object", .string("list")), ("data", .list(model.names.map(modelObject)))]))
        default:
            let prefix = "/v1/models/"
            guard path.hasPrefix(prefix) else { throw APIError(404, "Unknown path: \(path).", code: "not_found") }
            try Self.check(request, .get)
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

    static func check(_ request: Request, _ method: HTTPRequest.Method) throws(APIError) {
        guard request.method != method, request.method != .head || method != .get else { return }
        var error = APIError(
            405, "Not allowed to \(request.method) on \(request.uri.path): use \(method).", code: "method_not_allowed")
        error.allowedMethods = method == .get ? "GET, HEAD" : "\(method)"
        throw error
    }

    private func response(to error: APIError, _ style: ErrorStyle) -> Response {
        var response = Response(json: style.document(error), status: style.status(error))
        if error.status == 429 {
            response.headers[.retryAfter] = String(metrics.retryAfterSeconds)
            metrics.countRejection()
        }
        if let methods = error.allowedMethods { response.headers[.allow] = methods }
        if error.status == 401 { response.headers[.wwwAuthenticate] = "Bearer" }
        return response
    }

    /// Of W3C's Trace Context: version, trace, parent and flags.
    private static func traceID(of request: Request) -> String? {
        guard let header = request.headers[.traceparent] else { return nil }
        let parts = header.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count >= 4, parts[0].count == 2, parts[1].count == 32, parts[2].count == 16,
            parts[0] != "ff", parts[1].contains(where: { $0 != "0" }),
            parts[..<3].allSatisfy({ $0.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) } })
        else { return nil }
        return String(parts[1])
    }

    /// The client's own, where it is short and plain.
    private static func requestID(of request: Request) -> String {
        if let id = request.headers[.requestID], (1...128).contains(id.utf8.count),
            id.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        {
            return id
        }
        return .randomHex(count: 32)
    }
}

extension APIError {
    static var internalError: APIError {
        var error = APIError(500, "The server had an error while processing the request.", code: "server_error")
        error.type = "server_error"
        return error
    }
}

/// Once set it stays set.
private final class SharedFlag: Sendable {
    private let flag = Mutex(false)

    var isSet: Bool { flag.withLock { $0 } }

    func set() { flag.withLock { $0 = true } }
}
