import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Martlet
import MartletJinja
import NIOCore

extension ModelRoutes {
    /// The bytes of the JSON document that a request carries.
    ///
    /// - Parameter isQueued: the request is one for the engine's queue. Where that is full the document is not even parsed, so
    ///   that refusing costs next to nothing.
    /// - Throws: 405, 408, 413, 415 or 429.
    func body(of request: Request, _ context: APIContext, isQueued: Bool) async throws -> [UInt8] {
        try APIResponder.check(request, .post)
        // Ollama reads JSON whatever the header says, and in its manual curl says that it sends a form. What browsers send for
        // pages of other sites without asking first, forms and plain text, has an Origin: there the type has to be right.
        let isForOllama = request.uri.path.hasPrefix("/api/") && request.headers[.origin] == nil
        if !isForOllama, let type = request.headers[.contentType] {
            let media = type.prefix { $0 != ";" }.trimmingCharacters(in: .whitespaces).lowercased()
            guard media == "application/json" else {
                throw APIError(415, "Content-Type must be application/json.", code: "unsupported_media_type")
            }
        }
        let bytes = try await body(of: request, context)
        if isQueued {
            do {
                try model.llm.checkQueue()
            } catch {
                throw APIError(error, prompt: "prompt")
            }
        }
        return bytes
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

    private func body(of request: Request, _ context: APIContext) async throws -> [UInt8] {
        let tooLarge = APIError(
            413, "The body has more than \(options.limits.bodyBytes) bytes.", code: "request_too_large")
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > options.limits.bodyBytes {
            context.closeSoon()
            throw tooLarge
        }
        do {
            // A timer of the event loop goes when it is cancelled. `Task.sleep` returns then, but what wakes it stays in memory
            // until the time is up: 50 MB where 2,000 requests come in a second.
            let timer = context.channel.eventLoop.scheduleTask(in: TimeAmount(options.readTimeout)) {}
            return try await withThrowingTaskGroup(of: [UInt8]?.self) { group in
                group.addTask { [limit = options.limits.bodyBytes] in
                    Array(buffer: try await request.body.collect(upTo: limit))
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
        } catch is NIOTooManyBytesError {
            context.closeSoon()
            throw tooLarge
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
