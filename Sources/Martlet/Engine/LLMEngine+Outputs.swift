extension LLMEngine {
    typealias OutputStream = AsyncThrowingStream<RequestOutput, any Error>

    /// Makes outputs of a request's tokens, in a task of its own: the engine's thread has better things to do.
    ///
    /// - Parameter best: how many of the choices are given, the most likely ones, and each in one piece; nil for all, in
    ///   parts as they come.
    nonisolated func outputs(of choices: [Choice], best: Int?) -> OutputStream {
        let (outputs, continuation) = OutputStream.makeStream()
        // The task keeps the engine: a stream that is being read goes on though nobody else holds the engine.
        let task = Task.detached {
            do {
                if let best {
                    for output in try await self.best(best, of: choices) { continuation.yield(output) }
                } else if choices.count == 1 {
                    try await self.process(choices[0]) { continuation.yield($0) }
                } else {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for choice in choices {
                            group.addTask { try await self.process(choice) { continuation.yield($0) } }
                        }
                        // Unlike `waitForAll` this ends the others where one fails.
                        for try await _ in group {}
                    }
                }
                continuation.finish()
            } catch {
                // What is left of the other choices is of no use.
                self.cancel(choices[0].id)
                continuation.finish(throwing: error)
            }
        }
        continuation.onTermination = { [endings, thread] reason in
            guard case .cancelled = reason else { return }
            task.cancel()
            endings.insert(choices[0].id, .cancelled)
            thread.wake()
        }
        return outputs
    }

    /// Reads a choice's tokens to their end.
    private nonisolated func process(_ choice: Choice, _ yield: (RequestOutput) -> Void) async throws {
        var processor = choice.processor
        for try await event in choice.events {
            yield(processor.process(event))
            guard processor.isFinished else { continue }
            // A stop string is news to the engine.
            if event.finishReason == nil { end(choice.id, .stop) }
            break
        }
        if !processor.isFinished { yield(processor.cancel()) }
    }

    /// The choices with the largest sums of log-probabilities, the largest first; of equals, the one with the lower seed. The
    /// best one has those of the prompt, which come with the first that was begun.
    private nonisolated func best(_ count: Int, of choices: [Choice]) async throws -> [RequestOutput] {
        let answers = try await withThrowingTaskGroup(of: RequestOutput?.self) { group in
            for choice in choices {
                group.addTask {
                    var answer: RequestOutput?
                    try await self.process(choice) { part in
                        answer?.append(part)
                        answer = answer ?? part
                    }
                    return answer
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }.compactMap { $0 }
        }
        func rank(_ answer: RequestOutput) -> (Double, Int) { (-(answer.cumulativeLogprob ?? 0), answer.index) }
        var best = Array(answers.sorted { rank($0) < rank($1) }.prefix(count))
        let promptLogprobs = answers.first { $0.index == 0 }?.promptLogprobs
        for index in best.indices {
            best[index].index = index
            best[index].promptLogprobs = index == 0 ? promptLogprobs : nil
        }
        return best
    }
}
