import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Martlet
import MartletJinja
import NIOCore

extension APIResponder {
    func completions(
        _ kind: CompletionRequest.Kind, _ request: Request, _ context: APIContext
    ) async throws -> Response {
        let document = try await document(of: request, context)
        try checkReadiness()
        let disconnection = try await context.disconnection
        let completion = try CompletionRequest(kind, document, for: model)
        if options.refusesUnknownFields, let name = completion.unknownFields.first {
            throw APIError(400, "Unknown parameter: '\(name)'.", parameter: name, code: "unknown_parameter")
        }
        let created = Int(Date().timeIntervalSince1970)
        var response: Response
        if completion.streams {
            response = try await stream(completion, created: created, disconnection)
        } else {
            response = Response(json: try await answer(completion, created: created, disconnection))
        }
        if !completion.unknownFields.isEmpty {
            response.headers[.martletWarning] =
                "unknown fields were ignored: " + Self.headerText(completion.unknownFields)
        }
        return response
    }

    private func answer(
        _ request: CompletionRequest, created: Int, _ disconnection: Disconnection
    ) async throws -> Value {
        let observers = (0..<request.choiceCount).map { _ in RequestObserver(metrics) }
        do {
            let document = try await disconnection.run { [model] in
                try await request.complete(on: model, created: created) { observers[$0].observe($1) }
            }
            for observer in observers { observer.finish() }
            return document
        } catch let error as APIError {
            // Nothing was begun, or the engine failed: no request of which there is something to tell.
            throw error
        } catch {
            for observer in observers { observer.finish() }
            throw error
        }
    }

    /// Names as a header can carry them: the caller chose them.
    private static func headerText(_ names: [String]) -> String {
        let text = names.prefix(16).map { $0.prefix(64) }.joined(separator: ", ")
        return String(String.UnicodeScalarView(text.unicodeScalars.map { (0x20...0x7E).contains($0.value) ? $0 : "?" }))
    }

    /// Errors before the first token are plain HTTP, so the response begins with it.
    private func stream(
        _ request: CompletionRequest, created: Int, _ disconnection: Disconnection
    ) async throws -> Response {
        let stream = try await CompletionStream(request, on: model, metrics: metrics)
        disconnection.onDisconnect { stream.cancel() }
        let first: CompletionStream.Event
        do {
            first = try await stream.first()
        } catch let error as EngineError {
            throw APIError(error, prompt: request.kind.promptField)
        }
        let events = ServerSentEvents(
            CompletionResponse(request, model: model, created: created), request)
        let body = ResponseBody { writer in
            defer { disconnection.onDisconnect(nil) }
            var events = events
            try await writer.write(ByteBuffer(string: events.text(for: first)))
            do {
                for try await event in stream.events {
                    try await writer.write(ByteBuffer(string: events.text(for: event)))
                }
                try await writer.write(ByteBuffer(string: events.end()))
            } catch let error as EngineError {
                let text = ServerSentEvents.text(APIError(error, prompt: request.kind.promptField).json)
                try await writer.write(ByteBuffer(string: text))
            }
            try await writer.finish(nil)
        }
        return Response(
            status: .ok, headers: [.contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache"],
            body: body)
    }
}
