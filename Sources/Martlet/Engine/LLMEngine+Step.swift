import Dispatch
import MartletGrammar

extension LLMEngine {
    /// One step of everything: of the answers, then of the texts that want embeddings.
    ///
    /// - Returns: whether there is more to do.
    func step() -> Bool {
        endRequests()
        let start = ContinuousClock.now
        expireRequests(at: start)
        // What prompts and texts together may add to a step in which others wait for their next tokens.
        var allowance = targetSeconds.map { costs.allowance(target: $0) } ?? .unlimited
        let goesOn = answerStep(&allowance, at: start)
        return embeddingStep(allowance) || goesOn
    }

    /// Plan, compute, draw, hand over.
    ///
    /// - Parameter allowance: what is left of it afterwards.
    private func answerStep(_ allowance: inout PromptAllowance, at start: ContinuousClock.Instant) -> Bool {
        speculator?.propose(&scheduler) { active[$0]?.sampling }
        let proposed = ContinuousClock.now
        let step = scheduler.schedule(allowance)
        // A step in which nobody waits for a next token is not held to it.
        if step.tokenCount > step.promptTokenCount {
            allowance = allowance.rest(afterTokens: step.promptTokenCount, positions: step.promptPositionCount)
        }
        gauge.publish(room: scheduler.queueRoom)
        defer { gauge.publish(room: scheduler.queueRoom) }
        guard !step.isEmpty else { return false }
        noteAdmissions(step, at: start)
        do {
            let logits = try runner.run(step, of: scheduler)
            let computed = ContinuousClock.now
            sample(logits, for: step, patience: computed - proposed)
            let drawn = ContinuousClock.now
            let updates = scheduler.update(step, self.drawn)
            // Before anybody hears of it: who asks again at once is not to find a queue that was full before.
            gauge.publish(room: scheduler.queueRoom)
            deliver(updates, at: drawn)
            speculator?.record(step, self.drawn, seconds: (drawn - proposed).seconds)
            count(step, model: computed - proposed, total: ContinuousClock.now - start)
        } catch {
            fail(step, error)
        }
        return scheduler.hasWork
    }

    /// Requests that nobody waits for give their rows back before anything else is computed.
    private func endRequests() {
        for ending in endings.removeAll() {
            if ending.reason == .stop {
                if end(ending.id) { counters.finishedRequests += 1 }
            } else {
                if embeddingReaders[ending.id] != nil {
                    finishEmbedding(ending.id, .failure(CancellationError()))
                    counters.cancelledRequests += 1
                    continue
                }
                // All choices; who cancels does not know how many there are.
                for id in active.keys where id.value == ending.id.value {
                    end(id)
                    counters.cancelledRequests += 1
                }
            }
        }
    }

    /// - Returns: whether there was such a request.
    @discardableResult
    private func end(_ id: RequestID) -> Bool {
        guard let request = active.removeValue(forKey: id) else { return false }
        scheduler.abort(id)
        request.events.finish()
        return true
    }

    private func expireRequests(at now: ContinuousClock.Instant) {
        for (id, why) in scheduler.expire(at: now) {
            active.removeValue(forKey: id)?.events.finish(throwing: EngineError(why))
            counters.failedRequests += 1
        }
        expireEmbeddings(at: now)
    }

    private func noteAdmissions(_ step: SchedulerOutput, at now: ContinuousClock.Instant) {
        for entry in step.entries {
            guard let request = active[entry.id], request.admitted == nil else { continue }
            request.admitted = now
        }
    }

    /// Draws tokens from every row of logits. Behind a draft's first wrong token the rows mean nothing.
    ///
    /// - Parameter patience: how long all wait for one request's mask.
    private func sample(_ logits: UnsafeBufferPointer<Float>, for step: SchedulerOutput, patience: Duration) {
        let deadline = DispatchTime.now() + patience.seconds
        let othersCanDraw = step.entries.contains { $0.drawCount > 0 && active[$0.id]?.waitsForMask == false }
        samples.removeAll(keepingCapacity: true)
        drawn.removeAll()
        var firstRow = 0
        for entry in step.entries where entry.sampledCount > 0 {
            guard let request = active[entry.id] else { preconditionFailure("a scheduled request is active") }
            recordPrompt(entry, logits, firstRow: firstRow, of: request)
            firstRow += entry.promptRowCount
            guard entry.drawCount > 0 else { continue }
            drawn.beginEntry()
            request.isPostponed = !awaitMask(of: request, entry, until: othersCanDraw ? deadline : nil)
            guard !request.isPostponed else {
                counters.postponedTokens += 1
                firstRow += entry.drawCount
                continue
            }
            for offset in 0..<entry.drawCount {
                let position = entry.firstSampledPosition + entry.promptRowCount + offset
                let sample = draw(row(firstRow + offset, of: logits), for: request, position: position)
                samples.append(sample)
                let token = try? sample.get().token
                drawn.append(token)
                if case .failure(let error) = sample, error.code == .samplingFailed {
                    scheduler.distrust(at: entry.index)
                }
                guard let token, scheduler.running[entry.index].isDrafted(token, at: position) else { break }
            }
            firstRow += entry.drawCount
            prepareMask(of: request)
        }
    }

    /// While the model computes the next step, another thread finds out what may be drawn in it.
    private func prepareMask(of request: ActiveRequest) {
        guard let matcher = request.sampling.matcher, !matcher.hasPreparedMask else { return }
        maskThreads.run(in: request.masking) { matcher.prepareMask() }
    }

    /// Waits for the mask of a request's next token where it is not there yet. It takes long where a structure admits nearly all of a
    /// large vocabulary.
    ///
    /// - Parameter deadline: of others in the step that can draw theirs. They wait once for each mask.
    /// - Returns: whether it is there. If not, the request draws nothing, and the next step computes its last token again.
    private func awaitMask(
        of request: ActiveRequest, _ entry: SchedulerOutput.Entry, until deadline: DispatchTime?
    ) -> Bool {
        guard let masking = request.masking else { return true }
        // The last token of a prompt is in the prefix cache, and must not be computed again.
        let isDecoding = entry.count == entry.drawCount && scheduler.running[entry.index].generatedCount > 0
        guard let deadline, isDecoding else {
            masking.wait()
            return true
        }
        return masking.wait(timeout: request.isPostponed ? .now() : deadline) == .success
    }

    private func row(_ index: Int, of logits: UnsafeBufferPointer<Float>) -> UnsafeBufferPointer<Float> {
        let start = index * sampler.vocabularySize
        return UnsafeBufferPointer(rebasing: logits[start..<start + sampler.vocabularySize])
    }

    /// Takes note of the log-probabilities of a prompt's tokens.
    private func recordPrompt(
        _ entry: SchedulerOutput.Entry, _ logits: UnsafeBufferPointer<Float>, firstRow: Int, of request: ActiveRequest
    ) {
        guard entry.promptRowCount > 0, let alternatives = request.promptLogprobs?.alternatives else { return }
        for offset in 0..<entry.promptRowCount {
            let token = scheduler.running[entry.index].tokens[entry.firstSampledPosition + offset]
            do {
                request.promptLogprobs?.tokens.append(
                    try sampler.logprobs(of: token, row(firstRow + offset, of: logits), alternatives: alternatives))
            } catch {
                request.promptLogprobs?.failure = error
            }
        }
    }

    private func draw(
        _ row: UnsafeBufferPointer<Float>, for request: ActiveRequest, position: Int
    ) -> Result<SampledToken, EngineError> {
        do throws(EngineError) {
            if let failure = request.promptLogprobs?.failure { throw failure }
            let sample = try sampler.sample(row, request.sampling, position: position)
            request.sampling.record(sample.token)
            return .success(sample)
        } catch {
            return .failure(error)
        }
    }

    /// Hands every token to its request's stream, and takes leave of the requests that are finished.
    private func deliver(_ updates: [RequestUpdate], at now: ContinuousClock.Instant) {
        for update in updates {
            guard let request = active[update.id] else { preconditionFailure("an updated request is active") }
            switch samples[update.draw] {
            case .success(let sample):
                request.events.yield(
                    TokenEvent(
                        sample: sample, prompt: request.promptLogprobs?.tokens, finishReason: update.finishReason,
                        admitted: request.admitted ?? now, drawn: now, cachedTokens: update.cachedCount))
                request.promptLogprobs = nil
                counters.promptTokens += request.newPromptTokens
                request.newPromptTokens = 0
                counters.generatedTokens += 1
                guard update.finishReason != nil else { continue }
                request.events.finish()
                counters.finishedRequests += 1
            case .failure(let error):
                request.events.finish(throwing: error)
                counters.failedRequests += 1
            }
            active[update.id] = nil
        }
    }

    /// Ends the requests of a step that failed, and no others.
    private func fail(_ step: SchedulerOutput, _ error: any Error) {
        let failure = error as? EngineError ?? EngineError(.stepFailed, "the step failed: \(error)")
        for id in scheduler.fail(step) {
            active.removeValue(forKey: id)?.events.finish(throwing: failure)
            counters.failedRequests += 1
        }
    }

    private func count(_ step: SchedulerOutput, model: Duration, total: Duration) {
        costs.record(
            tokens: step.tokenCount, promptTokens: step.promptTokenCount, promptPositions: step.promptPositionCount,
            seconds: total.seconds)
        counters.countStep(tokens: step.tokenCount, model: model, total: total)
    }
}
