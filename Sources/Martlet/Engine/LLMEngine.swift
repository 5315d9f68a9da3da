import Dispatch
import MartletGraph

/// Runs one model for many requests at once, on a thread of its own.
///
/// Every call is a message: it is answered between two steps. Requests end when they are done, when whoever reads their
/// stream stops reading, or with `shutdown()`; `drain()` waits for their end.
public actor LLMEngine {
    let thread = EngineThread()
    let endings = EndingList()
    nonisolated let lists = OpenLists()
    package nonisolated let limits: SchedulerLimits
    nonisolated let gauge: QueueGauge
    /// Of the texts that want embeddings.
    nonisolated let embeddingGauge: QueueGauge
    let runner: ModelRunner
    let sampler: Sampler
    var scheduler: Scheduler
    var active: [RequestID: ActiveRequest] = [:]
    var counters = EngineStatistics()
    var costs = StepCostModel()
    /// Texts that want embeddings, and who waits for these.
    var embeddings: EmbeddingQueue
    var embeddingReaders: [RequestID: CheckedContinuation<Result<[Float], any Error>, Never>] = [:]
    /// Nil where nothing is guessed.
    let speculator: Speculator?
    /// The step's draws, in the order of its entries with logits; kept so that a step allocates nothing.
    var samples: [Result<SampledToken, EngineError>] = []
    var drawn = DrawnTokens()
    let targetSeconds: Double?
    let maskThreads = MaskThreads()
    private let endTokens: [Int32]
    private let seed: UInt64?
    var nextID: UInt64 = 0
    /// Takes no more requests but those of lists that have begun.
    private var isClosed = false
    /// Callers of `drain()`.
    private var drains: [CheckedContinuation<Void, Never>] = []

    /// What the engine keeps of a request, besides what the scheduler knows.
    final class ActiveRequest {
        var sampling: SamplingState
        let events: AsyncThrowingStream<TokenEvent, any Error>.Continuation
        var admitted: ContinuousClock.Instant?
        /// Tokens of the prompt, until they are counted with the first token.
        var newPromptTokens = 0
        /// Until they are delivered with the first token; nil unless asked for.
        var promptLogprobs: PromptLogprobs?
        /// What finds out the mask of the next token; nil where the answer has no structure.
        let masking: DispatchGroup?
        /// It drew nothing in its last step, for want of the mask.
        var isPostponed = false

        init(sampling: SamplingState, events: AsyncThrowingStream<TokenEvent, any Error>.Continuation) {
            self.sampling = sampling
            self.events = events
            masking = sampling.matcher.map { _ in DispatchGroup() }
        }

        var waitsForMask: Bool { masking?.wait(timeout: .now()) == .timedOut }
    }

    public nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    /// - Parameters:
    ///   - runner: the model; the engine is its only user from now on.
    ///   - contextLength: tokens of prompt and answer together, at most.
    ///   - endTokens: the model's end-of-sequence tokens.
    ///   - proposer: guesses tokens for the model to verify; the engine is its only user from now on.
    /// - Throws: `invalidParameter` for options that are out of range, or beyond what the model was compiled for.
    package init(
        _ runner: sending ModelRunner, contextLength: Int, endTokens: [Int32], options: EngineOptions = .init(),
        proposer: sending (any DraftProposer)? = nil
    ) throws(EngineError) {
        limits = try SchedulerLimits(options, runner.limits, contextLength: contextLength)
        self.endTokens = endTokens
        seed = options.seed
        targetSeconds = options.targetInterTokenLatency?.seconds
        sampler = Sampler(vocabularySize: runner.vocabularySize)
        scheduler = Scheduler(rowCount: runner.rowCount, limits: limits)
        gauge = QueueGauge(room: scheduler.queueRoom)
        embeddings = EmbeddingQueue(
            rowCount: runner.embedder?.rowCount ?? 0, limits: limits, width: runner.embedder?.width ?? 0)
        embeddingGauge = QueueGauge(room: embeddings.queueRoom)
        samples.reserveCapacity(limits.maxSampledRows)
        self.runner = runner
        if let proposer {
            speculator = Speculator(
                proposer, maxDraftTokens: options.maxDraftTokens, isAdaptive: !options.alwaysSpeculates)
        } else {
            speculator = nil
        }
        thread.start(name: "martlet-engine") { [weak self] in
            self?.assumeIsolated { engine in
                defer { engine.finishDrains() }
                return engine.step()
            } ?? false
        }
    }

    deinit {
        // Every stream keeps its engine, so there is no request left.
        thread.stop()
    }

    /// Takes a request.
    ///
    /// - Parameter places: that it has got from the gauge, one for each answer; none where it has not asked.
    /// - Returns: its outputs. Whoever stops reading them, or cancels the task that does, ends the request before the
    ///   next step. An error of the request is thrown here as an `EngineError`.
    /// - Throws: why the request is refused.
    package func submit(
        _ request: EngineRequest, places: Int = 0
    ) throws(EngineError) -> AsyncThrowingStream<RequestOutput, any Error> {
        var request = request
        let arrival = request.options.arrival ?? .now
        request.options.arrival = arrival
        request.options.turn = request.options.turn ?? SharedTurn()
        defer { gauge.publish(room: scheduler.queueRoom, arrived: places) }
        try checkOpen(to: request.options.turn)
        try request.validate(vocabularySize: runner.vocabularySize)

        var choices: [Choice] = []
        do {
            for index in 0..<request.parameters.drawnCount {
                let id = RequestID(nextID, choice: index)
                choices.append(try add(request, id, arrival: arrival, hasPlace: index < places))
            }
        } catch {
            // All or none.
            for choice in choices {
                scheduler.abort(choice.id)
                active[choice.id] = nil
            }
            throw error
        }
        nextID += 1
        counters.acceptedRequests += choices.count
        return outputs(of: choices, best: request.parameters.bestOf == nil ? nil : request.parameters.n)
    }

    /// - Throws: `shutDown` where no more requests are taken, unless they are parts of a list that has begun.
    func checkOpen(to turn: SharedTurn?) throws(EngineError) {
        guard !isClosed || lists.contains(turn) else {
            throw EngineError(.shutDown, "the engine takes no more requests")
        }
    }

    private func add(
        _ request: EngineRequest, _ id: RequestID, arrival: ContinuousClock.Instant, hasPlace: Bool
    ) throws(EngineError) -> Choice {
        var parameters = request.parameters
        // Answers are ranked by these.
        if parameters.bestOf != nil { parameters.logprobs = parameters.logprobs ?? 0 }
        // They are the same for all answers.
        let promptLogprobs = id.choice == 0 ? parameters.promptLogprobs : nil
        let stopTokens = parameters.stopTokenIDs.map { Int32($0) } + (parameters.ignoreEOS ? [] : endTokens)
        guard request.matcher == nil || !stopTokens.isEmpty else {
            throw .invalid("structure", "needs a model that has a token to end its answers")
        }
        try scheduler.add(
            RequestState(
                id: id, prompt: request.prompt,
                limits: .init(
                    maxTokens: parameters.maxTokens ?? .max, minTokens: parameters.minTokens, stopTokens: stopTokens),
                terms: RequestTerms(request.options), features: request.features,
                wantsPromptLogits: promptLogprobs != nil), hasPlace: hasPlace)
        let (events, continuation) = AsyncThrowingStream<TokenEvent, any Error>.makeStream()
        active[id] = ActiveRequest(
            sampling: SamplingState(
                parameters, prompt: request.prompt.filter { $0 >= 0 }, stopTokens: stopTokens,
                badWords: request.badWords,
                matcher: request.matcher,
                seed: parameters.seed.map { $0 &+ UInt64(id.choice) } ?? drawSeed(for: id)),
            events: continuation)
        active[id]?.newPromptTokens = request.prompt.count
        active[id]?.promptLogprobs = promptLogprobs.map { PromptLogprobs(alternatives: $0) }
        return Choice(id: id, events: events, processor: OutputProcessor(id: id, request, arrival: arrival))
    }

    private func drawSeed(for id: RequestID) -> UInt64 {
        guard let seed else { return .random(in: .min ... .max) }
        return Philox.bits(seed: seed, position: id.value, purpose: .requestSeed) &+ UInt64(id.choice)
    }

    /// Ends a request before the next step; the last output of each answer says so. Nothing happens when it has ended
    /// already.
    public nonisolated func cancel(_ id: RequestID) {
        end(id, .cancelled)
    }

    nonisolated func end(_ id: RequestID, _ reason: FinishReason) {
        endings.insert(id, reason)
        thread.wake()
    }

    /// Takes no more requests, and returns when those that are there have ended. `shutdown()` ends the wait.
    public func drain() async {
        isClosed = true
        lists.close()
        if !isIdle { await withCheckedContinuation { drains.append($0) } }
    }

    private var isIdle: Bool { active.isEmpty && embeddingReaders.isEmpty && lists.isEmpty }

    /// A list of prompts has come to its end.
    nonisolated func endList(_ turn: SharedTurn) {
        lists.end(turn)
        thread.wake()
    }

    private func finishDrains() {
        guard isIdle else { return }
        for drain in drains { drain.resume() }
        drains = []
    }

    /// Ends all requests with an error, and takes no more.
    public func shutdown() {
        isClosed = true
        lists.removeAll()
        for (id, request) in active {
            scheduler.abort(id)
            counters.cancelledRequests += 1
            request.events.finish(throwing: EngineError(.shutDown, "the engine was shut down"))
        }
        active = [:]
        failEmbeddings(EngineError(.shutDown, "the engine was shut down"))
        finishDrains()
    }

    /// What is wrong with the cache's bookkeeping, for tests; empty when all is well.
    package var cacheViolations: [String] { scheduler.checkInvariants() }

    /// Forgets every cached prefix that no running request uses.
    public func clearPrefixCache() { scheduler.clearPrefixCache() }

    public var statistics: EngineStatistics {
        var statistics = counters
        statistics.runningRequests = scheduler.running.count + embeddings.running.count
        statistics.waitingRequests = scheduler.waiting.count + embeddings.waiting.count
        statistics.cacheRows = scheduler.memory.pool.rowCount
        statistics.usedCacheRows = scheduler.memory.usedCount
        statistics.peakCacheRows = scheduler.counters.peakRows
        statistics.idleCacheRows = scheduler.memory.prefixes.evictableCount
        statistics.prefixCacheQueries = scheduler.counters.prefixQueries
        statistics.prefixCacheHits = scheduler.counters.prefixHits
        statistics.preemptions = scheduler.counters.preemptions
        statistics.speculation = speculator?.statistics
        return statistics
    }
}

extension EngineRequest {
    fileprivate func validate(vocabularySize: Int) throws(EngineError) {
        try parameters.validate(vocabularySize: vocabularySize)
        try Self.checkIsThere(prompt, "prompt")
        let images = features?.spans.map(\.range) ?? []
        // The model gives none for what an image looks like.
        guard images.isEmpty || parameters.promptLogprobs == nil else {
            throw .invalid("promptLogprobs", "is not there for prompts with images")
        }
        precondition(images.allSatisfy { $0.upperBound <= prompt.count })
        var index = 0
        for range in images {
            try Self.checkTokens(prompt[index..<range.lowerBound], "prompt", vocabularySize: vocabularySize)
            index = range.upperBound
        }
        try Self.checkTokens(prompt[index...], "prompt", vocabularySize: vocabularySize)
    }

    /// - Parameter name: what messages call the tokens.
    /// - Throws: `invalidPrompt` for tokens, without those of images, that no engine of the model takes.
    static func check(_ tokens: [Int32], _ name: String = "prompt", vocabularySize: Int) throws(EngineError) {
        try checkIsThere(tokens, name)
        try checkTokens(tokens[...], name, vocabularySize: vocabularySize)
    }

    private static func checkIsThere(_ tokens: [Int32], _ name: String) throws(EngineError) {
        guard tokens.isEmpty else { return }
        throw EngineError(.invalidPrompt, "the \(name) is empty", parameter: "prompt")
    }

    private static func checkTokens(
        _ text: ArraySlice<Int32>, _ name: String, vocabularySize: Int
    ) throws(EngineError) {
        for token in text where token < 0 || token >= vocabularySize {
            throw EngineError(
                .invalidPrompt, "the \(name) has token \(token); the model has tokens 0 to \(vocabularySize - 1)",
                parameter: "prompt")
        }
    }
}

extension SchedulerLimits {
    fileprivate init(_ options: EngineOptions, _ limits: StepLimits, contextLength: Int) throws(EngineError) {
        try options.validate()
        if let tokens = options.maxBatchedTokens, tokens > limits.tokens {
            throw .invalid("maxBatchedTokens", "is \(tokens), but the model is loaded for \(limits.tokens)")
        }
        let mostRequests = min(limits.requests, limits.sampled)
        if let requests = options.maxRequests, requests > mostRequests {
            throw .invalid("maxRequests", "is \(requests), but the model is loaded for \(mostRequests)")
        }
        self.init(
            maxBatchedTokens: options.maxBatchedTokens ?? limits.tokens,
            maxRequests: options.maxRequests ?? mostRequests,
            maxSampledRows: limits.sampled, maxQueuedRequests: options.maxQueuedRequests,
            maxQueuedTokens: options.maxQueuedTokens, prefillChunk: options.prefillChunk, contextLength: contextLength,
            cachesPrefixes: options.cachesPrefixes, assumedAnswerTokens: options.assumedAnswerTokens)
    }
}
