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
        do {
            let completions = try await model.llm.generate(prompts.map(Prompt.tokens), parameters, observe: observe)
            return CompletionResponse(kind, model: model, created: created).document(completions)
        } catch let error as EngineError {
            throw APIError(error, prompt: kind.promptField)
        }
    }
}
