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
    /// - Throws: `APIError`, or `CancellationError` when the task is cancelled.
    func completions(
        on llm: LLM, observe: @escaping @Sendable (Int, RequestOutput) -> Void
    ) async throws -> [Completion] {
        try await prepare(on: llm)
        do {
            return try await answers(on: llm, observe: observe)
        } catch let error as EngineError {
            throw APIError(error, prompt: kind.promptField)
        }
    }

    /// How many prompts the engine has at a time, of many.
    func promptsAtOnce(on llm: LLM) -> Int { max(1, llm.concurrency / (parameters.bestOf ?? parameters.n)) }

    private func answers(
        on llm: LLM, observe: @escaping @Sendable (Int, RequestOutput) -> Void
    ) async throws -> [Completion] {
        let atOnce = promptsAtOnce(on: llm)
        return try await withThrowingTaskGroup(of: (Int, [Completion]).self) { group in
            var completions = [[Completion]](repeating: [], count: prompts.count)
            for index in prompts.indices {
                if index >= atOnce, let (done, answers) = try await group.next() { completions[done] = answers }
                group.addTask {
                    let outputs = try await llm.generate(prompt(index), parameters, options: options.entry(index))
                    return (
                        index,
                        try await Completion.all(of: outputs) { observe(index * parameters.n + $0.index, $0) }
                    )
                }
            }
            for try await (done, answers) in group { completions[done] = answers }
            return completions.flatMap { $0 }
        }
    }
}
