/// A whole answer: the parts of a stream, joined.
public struct Completion: Sendable, Hashable {
    public var text = ""
    public var tokenIDs: [Int] = []
    /// For each of `tokenIDs`, when the parameters ask for it.
    public var logprobs: [TokenLogprobs]?
    /// For each token of the prompt but the first, when the parameters ask for it; only the first answer has them.
    public var promptLogprobs: [TokenLogprobs]?
    public var finishReason: FinishReason
    /// The stop string that ended the answer, if it was one.
    public var stopString: String?
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
        guard let first = try await Self.all(of: outputs, observe: observe).first else { throw CancellationError() }
        self = first
    }

    /// Reads a stream to its end.
    ///
    /// - Parameter observe: called with every part.
    /// - Returns: the answers in the order of their indices.
    package static func all(
        of outputs: AsyncThrowingStream<RequestOutput, any Error>, observe: (RequestOutput) -> Void
    ) async throws -> [Completion] {
        var answers: [RequestOutput?] = []
        for try await output in outputs {
            observe(output)
            while answers.count <= output.index { answers.append(nil) }
            if answers[output.index] == nil {
                answers[output.index] = output
            } else {
                answers[output.index]?.append(output)
            }
        }
        // A stream whose reader is cancelled ends early, without a word or with one that says so.
        let completions = answers.compactMap { $0.flatMap(Completion.init) }
        guard !completions.isEmpty, completions.count == answers.count else { throw CancellationError() }
        if completions.contains(where: { $0.finishReason == .cancelled }) { try Task.checkCancellation() }
        return completions
    }

    private init?(_ output: RequestOutput) {
        guard let reason = output.finishReason else { return nil }
        text = output.text
        tokenIDs = output.tokenIDs
        logprobs = output.logprobs
        promptLogprobs = output.promptLogprobs
        finishReason = reason
        stopString = output.stopString
        usage = output.usage
        timings = output.timings
    }
}
