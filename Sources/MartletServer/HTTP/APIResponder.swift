import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import Martlet
import MartletJinja
import NIOCore
import NIOHTTP1

/// Checks who sent a request, answers what needs no model, and makes responses of errors.
struct APIResponder: HTTPResponder {
    let options: ServerOptions
    let version: String
    let logger: Logger
    let metrics = ServerMetrics()
    let state = ServerState()
    private let access: AccessControl
    private let largeRequests = LargeRequestExecutor()
    private let bodyMemory: BodyMemory

    init(options: ServerOptions, version: String, logger: Logger) {
        self.options = options
        self.version = version
        self.logger = logger
        access = AccessControl(options)
        bodyMemory = BodyMemory(limit: options.bodyMemory)
    }

    /// Serves a model from now on.
    func serve(_ model: ServedModel) {
        metrics.describe(contextLength: model.llm.contextLength)
        state.serve(model)
    }

    /// No new requests; returns when those that are there have ended, or were ended after the time-out.
    func drain(timeout: Duration) async {
        state.beginDraining()
        guard let llm = state.loadedModel?.llm else { return }
        let deadline = Task {
            try await Task.sleep(for: timeout)
            await llm.shutdown()
        }
        await llm.drain()
        deadline.cancel()
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
            // The client is gone; nobody reads this.
            response = Response(status: .init(code: AccessLogEntry.clientLeft, reasonPhrase: "Client Closed Request"))
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
        let entry = AccessLogEntry { [metrics, logger, head = request.head, path = request.uri.path] status in
            metrics.countHTTP(status: status)
            logger.info(
                "\(head.method) \(path) \(status)",
                metadata: [
                    "request": "\(id)", "ms": "\(Int((ContinuousClock.now - start).seconds * 1000))",
                    "trace": "\(Self.traceID(of: head) ?? "-")",
                ])
        }
        write(&response, to: context.channel, entry)
        return response
    }

    /// Has a long answer, or one that comes in parts, written at its reader's pace, and the request recorded at its end.
    private func write(_ response: inout Response, to channel: any Channel, _ entry: AccessLogEntry) {
        let status = response.status.code
        let body = response.body
        if let length = body.contentLength, length <= AnswerWriter.sliceBytes { return entry.end(status) }
        response.body = ResponseBody(contentLength: body.contentLength) { writer in
            try await body.write(AnswerWriter(writer, channel))
            entry.end(status)
        }
    }

    private func route(_ request: Request, _ context: APIContext) async throws -> Response {
        let path = request.uri.path
        if let response = access.preflight(request) { return response }
        // Who probes the server may know no name of it, and learns nothing.
        if path == "/health" || path == "/ready" {
            try Self.check(request, .get)
            guard path == "/ready" else { return Response(json: state.health) }
            try state.checkReadiness()
            return Response(json: ServerState.ok)
        }
        try access.checkOrigin(request)
        if path == "/", options.servesWebPage {
            try Self.check(request, .get)
            return Response(html: WebPage.html, policy: WebPage.policy)
        }
        if path == "/docs", options.servesWebPage {
            try Self.check(request, .get)
            return Response(html: OpenAPI.page, policy: WebPage.policy)
        }
        var context = context
        context.client = try access.client(of: request, at: context.channel.remoteAddress)
        switch path {
        case "/version", "/api/version":
            try Self.check(request, .get)
            return Response(json: .dictionary([("version", .string(version))]))
        case "/metrics":
            try Self.check(request, .get)
            return Response(
                text: metrics.text(
                    await state.loadedModel?.llm.statistics, model: options.names[0],
                    asVLLM: options.usesMetricNamesOfVLLM))
        default:
            let routes = ModelRoutes(
                model: try state.model(), options: options, version: version, metrics: metrics, state: state,
                largeRequests: largeRequests, bodyMemory: bodyMemory)
            return try await routes.respond(to: request, context)
        }
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
        if let seconds = error.retryAfterSeconds { response.headers[.retryAfter] = String(seconds) }
        if error.status == 429 {
            response.headers[.retryAfter] = String(metrics.retryAfterSeconds)
            metrics.countRejection()
        }
        if let methods = error.allowedMethods { response.headers[.allow] = methods }
        if error.status == 401 { response.headers[.wwwAuthenticate] = "Bearer" }
        return response
    }

    /// Of W3C's Trace Context: version, trace, parent and flags.
    private static func traceID(of request: HTTPRequest) -> String? {
        guard let header = request.headerFields[.traceparent] else { return nil }
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
