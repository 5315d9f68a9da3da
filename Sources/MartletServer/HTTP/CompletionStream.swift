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
        try await request.prepare(on: model.llm)
        var streams: [AsyncThrowingStream<RequestOutput, any Error>] = []
        for index in request.prompts.indices {
            do {
                streams.append(
                    try await model.llm.generate(request.prompt(index), request.parameters, options: request.options))
            } catch {
                throw APIError(error, prompt: request.kind.promptField)
            }
        }
        let (events, continuation) = AsyncThrowingStream<Event, any Error>.makeStream()
        self.events = events
        let observers = (0..<request.choiceCount).map { _ in RequestObserver(metrics) }
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
                    for (index, stream) in streams.enumerated() {
                        let first = index * request.parameters.n
                        group.addTask {
                            defer { for choice in 0..<request.parameters.n { observers[first + choice].finish() } }
                            for try await output in stream {
                                observers[first + output.index].observe(output)
                                continuation.yield(.output(choice: first + output.index, output))
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
