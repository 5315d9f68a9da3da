package import Martlet
package import MartletJinja

extension CompletionRequest {
    /// Runs the request to its end.
    ///
    /// - Parameter observe: called with every part of an answer and the index of its choice.
    /// - Throws: `APIError`, or `CancellationError` when the task is cancelled.
    package func complete(
        on model: ServedModel, created: Int, observe: @escaping @Sendable (Int, RequestOutput) -> Void = { _, _ in }
    ) async throws -> Value {
        let completions = try await completions(on: model.llm, observe: observe)
        return CompletionResponse(self, model: model, created: created).document(completions)
    }

    /// The answers to all prompts, in the order of the choices. The engine has a bounded number of them at a time.
    ///
    /// - Parameters:
    ///   - observe: called with every part of an answer and the index of its choice.
    ///   - ended: called for each prompt that the engine took, with its index and why it has no answer, if it has none.
    /// - Throws: `APIError`, or `CancellationError` when the task is cancelled.
    func completions(
        on llm: LLM, observe: @escaping @Sendable (Int, RequestOutput) -> Void,
        ended: @escaping @Sendable (Int, (any Error)?) -> Void = { _, _ in }
    ) async throws -> [Completion] {
        llm.beginList(options)
        defer { llm.endList(options) }
        try await prepare(on: llm)
        do {
            return try await answers(on: llm, observe: observe, ended: ended)
        } catch let error as EngineError {
            try Task.checkCancellation()
            throw APIError(error, prompt: kind.promptField)
        }
    }

    private func answers(
        on llm: LLM, observe: @escaping @Sendable (Int, RequestOutput) -> Void,
        ended: @escaping @Sendable (Int, (any Error)?) -> Void
    ) async throws -> [Completion] {
        try await forEachPrompt(on: llm, ended: ended) { index, stream in
            try await Completion.all(of: stream) { observe(index * parameters.n + $0.index, $0) }
        }.flatMap { $0 }
    }

    typealias OutputStream = AsyncThrowingStream<RequestOutput, any Error>

    /// How many prompts the engine has at a time, of many.
    func promptsAtOnce(on llm: LLM) -> Int { max(1, llm.concurrency / parameters.drawnCount) }

    /// Hands a prompt to the engine.
    func open(_ index: Int, on llm: LLM) async throws(EngineError) -> OutputStream {
        try await llm.generate(prompt(index), parameters, options: options)
    }

    /// Hands the prompts to the engine in their order, a bounded number of them at a time.
    ///
    /// - Parameters:
    ///   - opened: streams of the first ones.
    ///   - ended: called for each prompt that the engine took, with what `read` throws of it.
    ///   - read: reads the stream of a prompt to its end.
    /// - Returns: what `read` makes of each, in the order of the prompts.
    func forEachPrompt<Result: Sendable>(
        on llm: LLM, opened: [OutputStream] = [], ended: @escaping @Sendable (Int, (any Error)?) -> Void,
        _ read: @escaping @Sendable (Int, OutputStream) async throws -> Result
    ) async throws -> [Result] {
        let atOnce = promptsAtOnce(on: llm)
        return try await withThrowingTaskGroup(of: (Int, Result).self) { group in
            var results = [Result?](repeating: nil, count: prompts.count)
            for index in prompts.indices {
                if index >= atOnce, let (done, result) = try await group.next() { results[done] = result }
                var stream = index < opened.count ? opened[index] : nil
                while stream == nil {
                    do {
                        stream = try await open(index, on: llm)
                    } catch {
                        // When one of the others ends there is room.
                        guard (error as? EngineError)?.code == .queueFull, let (done, result) = try await group.next()
                        else { throw error }
                        results[done] = result
                    }
                }
                guard let stream else { break }
                group.addTask {
                    do {
                        let result = try await read(index, stream)
                        ended(index, nil)
                        return (index, result)
                    } catch {
                        ended(index, error)
                        throw error
                    }
                }
            }
            for try await (done, result) in group { results[done] = result }
            return results.compactMap { $0 }
        }
    }
}
