extension LLMEngine {
    /// One step of everything: plan, compute, draw, hand over.
    ///
    /// - Returns: whether there is more to do.
    func step() -> Bool {
        endRequests()
        let start = ContinuousClock.now
        let step = scheduler.schedule()
        guard !step.isEmpty else { return false }
        noteAdmissions(step, at: start)
        counters.peakCacheRows = max(counters.peakCacheRows, scheduler.cache.usedCount)
        do {
            let logits = try runner.run(step, of: scheduler)
            let computed = ContinuousClock.now
            sample(logits, for: step)
            let drawn = ContinuousClock.now
            deliver(scheduler.update(step, tokens: tokens), at: drawn)
            count(step, model: computed - start, total: ContinuousClock.now - start)
        } catch {
            fail(step, error)
        }
        return scheduler.hasWork
    }

    /// Requests that nobody waits for give their rows back before anything else is computed.
    private func endRequests() {
        for ending in endings.removeAll() {
            guard let request = active.removeValue(forKey: ending.id) else { continue }
            scheduler.abort(ending.id)
            request.events.finish()
            if ending.reason == .stop { counters.finishedRequests += 1 } else { counters.cancelledRequests += 1 }
        }
    }

    private func noteAdmissions(_ step: SchedulerOutput, at now: ContinuousClock.Instant) {
        for entry in step.entries where entry.start == 0 {
            guard let request = active[entry.id], request.admitted == nil else { continue }
            request.admitted = now
        }
    }

    /// Draws a token from every row of logits.
    private func sample(_ logits: UnsafeBufferPointer<Float>, for step: SchedulerOutput) {
        samples.removeAll(keepingCapacity: true)
        tokens.removeAll(keepingCapacity: true)
        for entry in step.entries where entry.sampledCount > 0 {
            guard let request = active[entry.id] else { preconditionFailure("a scheduled request is active") }
            let start = samples.count * sampler.vocabularySize
            let row = UnsafeBufferPointer(rebasing: logits[start..<start + sampler.vocabularySize])
            do {
                let sample = try sampler.sample(row, request.sampling, position: entry.start + entry.count)
                request.sampling.record(sample.token)
                samples.append(.success(sample))
                tokens.append(sample.token)
            } catch {
                samples.append(.failure(error))
                tokens.append(nil)
            }
        }
    }

    /// Hands every token to its request's stream, and takes leave of the requests that are finished.
    private func deliver(_ updates: [RequestUpdate], at now: ContinuousClock.Instant) {
        for (update, sample) in zip(updates, samples) {
            guard let request = active[update.id] else { preconditionFailure("an updated request is active") }
            switch sample {
            case .success(let sample):
                request.events.yield(
                    TokenEvent(
                        sample: sample, finishReason: update.finishReason, admitted: request.admitted ?? now,
                        drawn: now))
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
        for entry in step.entries {
            scheduler.abort(entry.id)
            active.removeValue(forKey: entry.id)?.events.finish(throwing: failure)
            counters.failedRequests += 1
        }
    }

    private func count(_ step: SchedulerOutput, model: Duration, total: Duration) {
        counters.steps += 1
        counters.computedTokens += step.tokenCount
        counters.modelTime += model
        counters.stepTime += total
    }
}
