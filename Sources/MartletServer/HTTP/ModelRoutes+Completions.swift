import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Martlet
import MartletJinja
import NIOCore

extension ModelRoutes {
    /// OpenAI's chat and text completions.
    func completions(
        _ kind: CompletionRequest.Kind, _ document: Value, _ context: APIContext
    ) async throws -> Response {
        let request = Translation(kind: kind, document: document, names: FieldNames())
        return try await answer(request, context) { completion, created in
            CompletionResponse(completion, model: model, created: created)
        }
    }

    /// Answers a chat or a text completion in the dialect that it was asked for in, and refuses it in that dialect's names.
    func answer(
        _ request: Translation, _ context: APIContext, dialect: (CompletionRequest, _ created: Int) -> any Dialect
    ) async throws -> Response {
        try state.checkDraining()
        let disconnection = try await context.disconnection
        do {
            return try await answer(request, of: context.client, disconnection, dialect: dialect)
        } catch let error as APIError {
            throw error.renamed(request.names)
        }
    }

    private func answer(
        _ request: Translation, of client: String, _ disconnection: Disconnection,
        dialect: (CompletionRequest, _ created: Int) -> any Dialect
    ) async throws -> Response {
        // Tokenizing is part of what the client waits for.
        let arrival = ContinuousClock.now
        var completion = try CompletionRequest(request, for: model)
        completion.options.client = client
        completion.options.arrival = arrival
        completion.options.timeout = options.requestTimeout
        completion.options.queueTimeout = options.queueTimeout
        try checkUnknown(completion.unknownFields)
        let dialect = dialect(completion, Int(Date().timeIntervalSince1970))
        var response: Response
        if completion.streams {
            response = try await stream(completion, dialect.events(), disconnection)
        } else {
            response = Response(json: try await whole(completion, dialect, disconnection))
        }
        warn(of: completion.unknownFields, in: &response)
        return response
    }

    private func whole(
        _ request: CompletionRequest, _ dialect: any Dialect, _ disconnection: Disconnection
    ) async throws -> Value {
        let observers = request.prompts.map { _ in RequestObserver(metrics, request.parameters) }
        let completions = try await disconnection.run { [llm = model.llm] in
            try await request.completions(
                on: llm, observe: { observers[$0 / request.parameters.n].observe($1) },
                ended: { observers[$0].finish($1) })
        }
        return dialect.document(completions)
    }

    /// Errors before the first token are plain HTTP, so the response begins with it.
    private func stream(
        _ request: CompletionRequest, _ events: any AnswerEvents, _ disconnection: Disconnection
    ) async throws -> Response {
        let stream = try await disconnection.run { [model, metrics] in
            try await CompletionStream(request, on: model, metrics: metrics) { disconnection.close() }
        }
        disconnection.onDisconnect { stream.cancel() }
        let first: CompletionStream.Event
        do {
            first = try await stream.first()
        } catch let error as EngineError {
            throw APIError(error, prompt: request.kind.promptField)
        }
        let body = ResponseBody { writer in
            defer { disconnection.onDisconnect(nil) }
            var events = events
            try await writer.write(ByteBuffer(string: events.text(for: first)))
            do {
                for try await event in stream.events {
                    stream.remove(event)
                    try await writer.write(ByteBuffer(string: events.text(for: event)))
                }
                try await writer.write(ByteBuffer(string: events.end()))
            } catch let error as EngineError {
                let text = events.text(APIError(error, prompt: request.kind.promptField))
                try await writer.write(ByteBuffer(string: text))
            }
            try await writer.finish(nil)
        }
        return Response(
            status: .ok, headers: [.contentType: events.contentType, .cacheControl: "no-cache"], body: body)
    }
}
