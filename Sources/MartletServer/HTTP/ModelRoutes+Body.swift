import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Martlet
import MartletJinja
import NIOCore
import NIOHTTPTypes

extension ModelRoutes {
    /// The bytes of the JSON document that a request carries.
    ///
    /// - Parameters:
    ///   - share: of the memory for bodies; what is read is taken from it.
    ///   - isQueued: the request is one for the engine's queue. Where that is full the document is not read, or not even
    ///     parsed, so that refusing costs next to nothing.
    /// - Throws: 405, 408, 413, 415, 429 or 503.
    func body(
        of request: Request, _ context: APIContext, _ share: BodyMemory.Share, isQueued: Bool
    ) async throws -> [UInt8] {
        try APIResponder.check(request, .post)
        try Self.checkMedia(request)
        if isQueued { try checkQueue() }
        let bytes = try await read(request, context, share)
        if isQueued { try checkQueue() }
        return bytes
    }

    /// Ollama reads JSON whatever the header says, and in its manual curl says that it sends a form. What browsers send for pages
    /// of other sites without asking first, forms, plain text and bytes of no type, has an Origin: there the type has to be right.
    ///
    /// - Throws: 415.
    private static func checkMedia(_ request: Request) throws(APIError) {
        let type = request.headers[.contentType].map {
            $0.prefix { $0 != ";" }.trimmingCharacters(in: .whitespaces).lowercased()
        }
        let mayBeElse = request.headers[.origin] == nil && (type == nil || request.uri.path.hasPrefix("/api/"))
        guard type == "application/json" || mayBeElse else {
            throw APIError(415, "Content-Type must be application/json.", code: "unsupported_media_type")
        }
        guard request.headers[.contentEncoding].map({ $0.lowercased() == "identity" }) ?? true else {
            throw APIError(415, "Content-Encoding must be identity.", code: "unsupported_media_type")
        }
    }

    /// - Throws: 429 where no request finds a place now.
    private func checkQueue() throws(APIError) {
        do {
            try model.llm.checkQueue()
        } catch {
            throw APIError(error, prompt: "prompt")
        }
    }

    /// - Throws: 400 for what is no JSON.
    func document(_ bytes: [UInt8]) throws(APIError) -> Value {
        do {
            return try Value(
                strictJSON: bytes, maxDepth: options.limits.jsonDepth, maxValues: options.limits.jsonValues)
        } catch {
            throw APIError(400, "We could not parse the body of your request: \(error.message).", code: "invalid_json")
        }
    }

    private func read(
        _ request: Request, _ context: APIContext, _ share: BodyMemory.Share
    ) async throws -> [UInt8] {
        let tooLarge = APIError(
            413, "The body has more than \(options.limits.bodyBytes) bytes.", code: "request_too_large")
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > options.limits.bodyBytes {
            context.closeSoon()
            throw tooLarge
        }
        // A client that asks first whether its body is wanted is told only now that it is.
        if request.headers[.expect]?.lowercased() == "100-continue" {
            context.channel.writeAndFlush(HTTPResponsePart.head(HTTPResponse(status: .continue)), promise: nil)
        }
        do {
            // A timer of the event loop goes when it is cancelled. `Task.sleep` returns then, but what wakes it stays in memory
            // until the time is up: 50 MB where 2,000 requests come in a second.
            let timer = context.channel.eventLoop.scheduleTask(in: TimeAmount(options.readTimeout)) {}
            return try await withThrowingTaskGroup(of: [UInt8]?.self) { group in
                group.addTask { [limit = options.limits.bodyBytes, body = request.body] in
                    var bytes: [UInt8] = []
                    for try await part in body {
                        guard part.readableBytes <= limit - bytes.count else { throw tooLarge }
                        try share.take(part.readableBytes)
                        bytes += part.readableBytesView
                    }
                    return bytes
                }
                group.addTask {
                    try await timer.futureResult.get()
                    return nil
                }
                defer {
                    group.cancelAll()
                    timer.cancel()
                }
                guard let bytes = try await group.next() ?? nil else {
                    throw APIError(408, "The body did not arrive in time.", code: "request_timeout")
                }
                return bytes
            }
        } catch let error as APIError {
            context.closeSoon()
            throw error
        }
    }
}

extension APIContext {
    /// Ends the connection a moment after the response, when the rest of the request is not worth reading.
    func closeSoon() {
        channel.eventLoop.scheduleTask(in: .seconds(1)) { [channel] in channel.close(promise: nil) }
    }
}
