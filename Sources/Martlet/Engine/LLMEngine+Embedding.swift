extension LLMEngine {
    /// The pooled hidden states of a text. Cancelling the task ends it.
    ///
    /// - Throws: `EngineError`, or `CancellationError`.
    package func embed(
        _ tokens: [Int32], _ pooling: EmbeddingPooling, _ options: RequestOptions = .init()
    ) async throws -> [Float] {
        guard !isClosed else { throw EngineError(.shutDown, "the engine takes no more requests") }
        guard runner.embedder != nil else { throw EngineError(.invalidPrompt, "the model gives no embeddings") }
        try EngineRequest.check(tokens, "text", vocabularySize: runner.vocabularySize)
        let id = RequestID(nextID)
        try embeddings.add(id, tokens, pooling, RequestTerms(options))
        nextID += 1
        counters.acceptedRequests += 1
        counters.promptTokens += tokens.count
        return try await withTaskCancellationHandler {
            // Nothing is suspended between `add` and here, so no step comes between them.
            await withCheckedContinuation { embeddingReaders[id] = $0 }
        } onCancel: {
            end(id, .cancelled)
        }.get()
    }

    /// Computes some of the texts' tokens.
    ///
    /// - Returns: whether there is more to do.
    func embeddingStep() -> Bool {
        guard embeddings.hasWork, let embedder = runner.embedder else { return false }
        let start = ContinuousClock.now
        // Where others wait for their next tokens, no more than a prompt's chunk may cost.
        let entries = embeddings.schedule(
            scheduler.hasWork ? promptAllowance : .unlimited)
        guard !entries.isEmpty else { return embeddings.hasWork }
        let rows = embedder.run(entries, of: embeddings)
        let seconds = ContinuousClock.now - start
        for (id, vector) in embeddings.update(entries, rows) {
            if vector.allSatisfy(\.isFinite) {
                finishEmbedding(id, .success(vector))
                counters.finishedRequests += 1
            } else {
                let error = EngineError(.samplingFailed, "the model's hidden states for this text are not finite")
                finishEmbedding(id, .failure(error))
                counters.failedRequests += 1
            }
        }
        let tokens = entries.reduce(0) { $0 + $1.count }
        costs.record(
            tokens: tokens, promptTokens: tokens,
            promptPositions: entries.reduce(0) { $0 + $1.count * $1.start + $1.count * $1.count / 2 },
            seconds: seconds.seconds)
        counters.countStep(tokens: tokens, model: seconds, total: ContinuousClock.now - start)
        return embeddings.hasWork
    }

    func finishEmbedding(_ id: RequestID, _ result: Result<[Float], any Error>) {
        embeddings.remove(id)
        embeddingReaders.removeValue(forKey: id)?.resume(returning: result)
    }

    func expireEmbeddings(at now: ContinuousClock.Instant) {
        for (id, why) in embeddings.expired(at: now) {
            finishEmbedding(id, .failure(EngineError(why)))
            counters.failedRequests += 1
        }
    }

    func failEmbeddings(_ error: EngineError) {
        for id in Array(embeddingReaders.keys) {
            finishEmbedding(id, .failure(error))
            counters.cancelledRequests += 1
        }
    }
}
