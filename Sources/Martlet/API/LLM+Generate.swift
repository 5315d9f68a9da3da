extension LLM {
    /// Answers a conversation: `generate` of the prompt that the model's chat template makes of it.
    ///
    /// - Throws: why the request is refused, as `prompt(for:)` and `generate(_:_:)` do.
    public func generate(
        _ messages: [ChatMessage], _ parameters: SamplingParameters = .init()
    ) async throws(EngineError) -> AsyncThrowingStream<RequestOutput, any Error> {
        try await generate(prompt(for: messages), parameters)
    }

    /// Continues many prompts, and returns the answers in the order of the prompts.
    ///
    /// The engine has a bounded number of them at a time, so a list may be as long as it likes. Cancelling the task ends
    /// all of them.
    ///
    /// - Throws: the first `EngineError` of any of them, which ends the others; `CancellationError`.
    public func generate(
        _ prompts: [Prompt], _ parameters: SamplingParameters = .init()
    ) async throws -> [Completion] {
        try await generate(prompts, parameters) { _, _ in }
    }

    /// - Parameter observe: called with every part of an answer and the index of its prompt.
    package func generate(
        _ prompts: [Prompt], _ parameters: SamplingParameters, observe: @escaping @Sendable (Int, RequestOutput) -> Void
    ) async throws -> [Completion] {
        // Each prompt has several answers at a time, perhaps.
        try await Self.map(placesOf: prompts.count, atOnce: concurrency / max(1, parameters.drawnCount)) { index in
            try await Completion(self.generate(prompts[index], parameters)) { observe(index, $0) }
        }
    }
}
