/// Makes a request's outputs of its tokens: text, stop strings, usage and timings. Runs beside the engine, never on its
/// thread.
package struct OutputProcessor: Sendable {
    private let id: RequestID
    private let choice: Int
    private let parameters: SamplingParameters
    private let arrival: ContinuousClock.Instant
    private var decoder: any TokenDecoder
    private var stopStrings: StopStringMatcher
    private var usage: Usage
    private var timings = RequestTimings()
    private var cumulativeLogprob: Double?
    package private(set) var isFinished = false

    package init(id: RequestID, _ request: EngineRequest, arrival: ContinuousClock.Instant) {
        self.id = RequestID(id.value)
        choice = id.choice
        self.arrival = arrival
        parameters = request.parameters
        decoder = request.decoder
        stopStrings = StopStringMatcher(parameters.stop, keepsMatch: parameters.includeStopString)
        usage = Usage(promptTokens: request.prompt.count, generatedTokens: 0)
    }

    /// The output for a token. It ends the request when the engine says so, or when a stop string is complete.
    package mutating func process(_ event: TokenEvent) -> RequestOutput {
        precondition(!isFinished)
        usage.generatedTokens += 1
        usage.cachedPromptTokens = event.cachedTokens
        if usage.generatedTokens == 1 {
            timings.queued = event.admitted - arrival
            timings.firstToken = event.drawn - arrival
        }
        timings.lastToken = event.drawn - arrival
        if let logprobs = event.sample.logprobs {
            cumulativeLogprob = (cumulativeLogprob ?? 0) + Double(logprobs.chosen)
        }

        var reason = event.finishReason
        // A token that ends the answer is no text unless it is asked for.
        let isText = reason != .stop || parameters.includeStopString
        var text = isText ? matchStopStrings(decoder.append(event.sample.token)) : ""
        if reason != nil { text += matchStopStrings(decoder.finish()) }
        if stopStrings.isFinished {
            reason = .stop
        } else if reason != nil {
            text += stopStrings.flush()
        }
        isFinished = reason != nil
        var output = output(text, event.sample, reason)
        output.promptLogprobs = event.prompt.map { $0.compactMap(TokenLogprobs.init) }
        return output
    }

    /// The last output of a request that was cancelled.
    package mutating func cancel() -> RequestOutput {
        isFinished = true
        let text = matchStopStrings(decoder.finish()) + stopStrings.flush()
        return output(text, nil, .cancelled)
    }

    private mutating func matchStopStrings(_ text: String) -> String {
        stopStrings.append(text, counts: usage.generatedTokens > parameters.minTokens)
    }

    private func output(_ text: String, _ sample: SampledToken?, _ reason: FinishReason?) -> RequestOutput {
        RequestOutput(
            id: id, index: choice, text: text, tokenIDs: sample.map { [Int($0.token)] } ?? [],
            logprobs: parameters.logprobs == nil ? nil : sample.flatMap(TokenLogprobs.init).map { [$0] } ?? [],
            cumulativeLogprob: cumulativeLogprob, finishReason: reason, stopString: stopStrings.match, usage: usage,
            timings: timings)
    }
}

extension TokenLogprobs {
    fileprivate init?(_ sample: SampledToken) {
        guard let logprobs = sample.logprobs else { return nil }
        self.init(
            tokenID: Int(sample.token), logprob: logprobs.chosen,
            top: logprobs.top.map { Alternative(tokenID: Int($0.token), logprob: $0.logprob) })
    }
}
