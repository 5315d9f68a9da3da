extension LLMEngine {
    /// The pooled hidden states of a text. Cancelling the task ends it. Who finds the queue full hears so at once, even where a
    /// step goes on.
    ///
    /// - Throws: `EngineError`, or `CancellationError`.
    package nonisolated func embed(
        _ tokens: [Int32], _ pooling: EmbeddingPooling, _ options: RequestOptions = .init()
    ) async throws -> [Float] {
        try embeddingGauge.enter(1)
        return try await vector(of: tokens, pooling, options)
    }

    private func vector(
        of tokens: [Int32], _ pooling: EmbeddingPooling, _ options: RequestOptions
    ) async throws -> [Float] {
        let id = try addEmbedding(tokens, pooling, options)
        return try await withTaskCancellationHandler {
            // Nothing is suspended between `addEmbedding` and here, so no step comes between them.
            await withCheckedContinuation { embeddingReaders[id] = $0 }
        } onCancel: {
            end(id, .cancelled)
        }.get()
    }

    private func addEmbedding(
        _ tokens: [Int32], _ pooling: EmbeddingPooling, _ options: RequestOptions
    ) throws(EngineError) -> RequestID {
        defer { embeddingGauge.publish(room: embeddings.queueRoom, arrived: 1) }
        try checkOpen(to: options.turn)
        guard runner.embedder != nil else { throw EngineError(.invalidPrompt, "the model gives no embeddings") }
        try EngineRequest.check(tokens, "text", vocabularySize: runner.vocabularySize)
        let id = RequestID(nextID)
        try embeddings.add(id, tokens, pooling, RequestTerms(options), hasPlace: true)
        nextID += 1
        counters.acceptedRequests += 1
        return id
    }

    /// Computes some of the texts' tokens.
    ///
    /// - Parameter allowance: what they may cost where others wait for their next tokens.
    /// - Returns: whether there is more to do.
    func embeddingStep(_ allowance: PromptAllowance) -> Bool {
        defer { embeddingGauge.publish(room: embeddings.queueRoom) }
        guard embeddings.hasWork, let embedder = runner.embedder else { return false }
        let start = ContinuousClock.now
        let entries = embeddings.schedule(scheduler.hasWork ? allowance : .unlimited)
        embeddingGauge.publish(room: embeddings.queueRoom)
        guard !entries.isEmpty else { return embeddings.hasWork }
        let rows = embedder.run(entries, of: embeddings)
        let seconds = ContinuousClock.now - start
        let finished = embeddings.update(entries, rows)
        // Before anybody hears of it: the next text of a list comes at once, and is not to find a queue that was full before.
        embeddingGauge.publish(room: embeddings.queueRoom)
        for (id, vector) in finished {
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
        counters.promptTokens += tokens
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
