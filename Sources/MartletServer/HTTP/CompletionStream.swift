import Martlet

/// The outputs of all choices of a request in one stream, with a tick now and then so that a quiet connection stays open.
final class CompletionStream: Sendable {
    enum Event: Sendable {
        case output(choice: Int, RequestOutput)
        case tick
    }

    let events: AsyncThrowingStream<Event, any Error>
    private let task: Task<Void, Never>

    /// Between two comments on a connection; proxies give up after 30 seconds or more.
    private static let tickInterval = Duration.seconds(15)

    /// Hands the request to the engine.
    ///
    /// - Throws: `APIError` if it is refused.
    init(_ request: CompletionRequest, on model: ServedModel, metrics: ServerMetrics) async throws {
        var streams: [AsyncThrowingStream<RequestOutput, any Error>] = []
        for prompt in request.prompts {
            do {
                streams.append(try await model.llm.generate(.tokens(prompt), request.parameters))
            } catch {
                throw APIError(error, prompt: request.kind.promptField)
            }
        }
        let (events, continuation) = AsyncThrowingStream<Event, any Error>.makeStream()
        self.events = events
        task = Task { [streams] in
            let ticker = Task {
                while true {
                    try await Task.sleep(for: Self.tickInterval)
                    continuation.yield(.tick)
                }
            }
            defer { ticker.cancel() }
            do {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (choice, stream) in streams.enumerated() {
                        group.addTask {
                            let observer = RequestObserver(metrics)
                            defer { observer.finish() }
                            for try await output in stream {
                                observer.observe(output)
                                continuation.yield(.output(choice: choice, output))
                            }
                            try Task.checkCancellation()
                        }
                    }
                    try await group.waitForAll()
                }
                continuation.finish()
            } catch {
                continuation.finish(throwing: error)
            }
        }
        continuation.onTermination = { [task] _ in task.cancel() }
    }

    deinit { task.cancel() }

    /// The first output. Nobody else reads the events yet.
    ///
    /// - Throws: the request's `EngineError`, or `CancellationError` when it is cancelled before.
    func first() async throws -> Event {
        for try await event in events {
            if case .output = event { return event }
        }
        throw CancellationError()
    }

    /// Ends all choices.
    func cancel() { task.cancel() }
}
