import Martlet
import Synchronization

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
    /// Bytes of outputs that may wait for a client that reads more slowly than the model writes.
    static let backlogLimit = 1 << 20

    private let backlog: Backlog

    /// Hands the request to the engine.
    ///
    /// - Parameter onBacklog: called when more waits for the client than may; the request is cancelled then.
    /// - Throws: `APIError` if it is refused.
    init(
        _ request: CompletionRequest, on model: ServedModel, metrics: ServerMetrics,
        onBacklog: @escaping @Sendable () -> Void
    ) async throws {
        model.llm.beginList(request.options)
        do {
            try await request.prepare(on: model.llm)
        } catch {
            model.llm.endList(request.options)
            throw error
        }
        let observers = request.prompts.map { _ in RequestObserver(metrics, request.parameters) }
        // What is refused is refused before there is a stream. Where a list has no room as a whole, the rest follows.
        var opened: [CompletionRequest.OutputStream] = []
        for index in request.prompts.indices.prefix(request.promptsAtOnce(on: model.llm)) {
            do {
                opened.append(try await request.open(index, on: model.llm))
            } catch {
                let isCancelled = Task.isCancelled
                if !isCancelled, error.code == .queueFull, index > 0 { break }
                for observer in observers[..<index] { observer.finish(CancellationError()) }
                model.llm.endList(request.options)
                if isCancelled { throw CancellationError() }
                throw APIError(error, prompt: request.kind.promptField)
            }
        }
        let (events, continuation) = AsyncThrowingStream<Event, any Error>.makeStream()
        self.events = events
        let waiting = Backlog()
        backlog = waiting
        task = Task { [opened] in
            let ticker = Task {
                while true {
                    try await Task.sleep(for: Self.tickInterval)
                    continuation.yield(.tick)
                }
            }
            defer {
                ticker.cancel()
                model.llm.endList(request.options)
            }
            do {
                _ = try await request.forEachPrompt(
                    on: model.llm, opened: opened, ended: { observers[$0].finish($1) }
                ) { index, stream in
                    for try await output in stream {
                        observers[index].observe(output)
                        continuation.yield(.output(choice: index * request.parameters.n + output.index, output))
                        guard waiting.add(output) <= Self.backlogLimit else {
                            onBacklog()
                            throw CancellationError()
                        }
                    }
                    try Task.checkCancellation()
                }
                continuation.finish()
            } catch {
                continuation.finish(throwing: error)
            }
        }
        continuation.onTermination = { [task] _ in task.cancel() }
    }

    deinit { task.cancel() }

    /// The client has taken an event.
    func remove(_ event: Event) {
        if case .output(_, let output) = event { backlog.remove(output) }
    }

    /// The first output. Nobody else reads the events yet.
    ///
    /// - Throws: the request's `EngineError`, or `CancellationError` when it is cancelled before.
    func first() async throws -> Event {
        for try await event in events {
            if case .output = event {
                remove(event)
                return event
            }
        }
        throw CancellationError()
    }

    /// Ends all choices.
    func cancel() { task.cancel() }
}

/// Counts what waits for a client, in bytes of memory or so.
private final class Backlog: Sendable {
    private let bytes = Mutex(0)

    /// - Returns: how much waits now.
    func add(_ output: RequestOutput) -> Int {
        bytes.withLock { bytes in
            bytes += Self.size(output)
            return bytes
        }
    }

    func remove(_ output: RequestOutput) { bytes.withLock { $0 -= Self.size(output) } }

    /// A prompt's log-probabilities come once, and are as large as the prompt has them: they are not counted.
    private static func size(_ output: RequestOutput) -> Int {
        let alternatives = output.logprobs?.reduce(0) { $0 + 1 + $1.top.count } ?? 0
        return MemoryLayout<RequestOutput>.size + output.text.utf8.count + 8 * output.tokenIDs.count
            + MemoryLayout<TokenLogprobs>.size * alternatives
    }
}
