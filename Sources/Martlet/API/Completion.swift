/// A whole answer: the parts of a stream, joined.
public struct Completion: Sendable, Hashable {
    public var text = ""
    public var tokenIDs: [Int] = []
    /// For each of `tokenIDs`, when the parameters ask for it.
    public var logprobs: [TokenLogprobs]?
    public var finishReason: FinishReason
    public var usage: Usage
    public var timings: RequestTimings

    /// Reads a stream to its end. Where a request asks for several answers, this is the first.
    ///
    /// - Throws: the request's `EngineError`, or `CancellationError` when the task that reads is cancelled.
    public init(_ outputs: AsyncThrowingStream<RequestOutput, any Error>) async throws {
        try await self.init(outputs) { _ in }
    }

    /// - Parameter observe: called with every part.
    package init(
        _ outputs: AsyncThrowingStream<RequestOutput, any Error>, observe: (RequestOutput) -> Void
    ) async throws {
        var last: RequestOutput?
        for try await output in outputs {
            observe(output)
            guard output.index == 0 else { continue }
            text += output.text
            tokenIDs += output.tokenIDs
            if let part = output.logprobs { logprobs = (logprobs ?? []) + part }
            last = output
        }
        // A stream whose reader is cancelled ends early, without a word.
        guard let last, let reason = last.finishReason else { throw CancellationError() }
        finishReason = reason
        usage = last.usage
        timings = last.timings
    }
}
