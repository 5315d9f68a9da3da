/// One answer of a request, between the engine that draws its tokens and the reader of its text.
struct Choice: Sendable {
    /// The engine's own.
    let id: RequestID
    let events: AsyncThrowingStream<TokenEvent, any Error>
    var processor: OutputProcessor
}

extension RequestOutput {
    /// Adds the next part of the same answer.
    mutating func append(_ next: RequestOutput) {
        text += next.text
        tokenIDs += next.tokenIDs
        if let part = next.logprobs {
            if logprobs == nil { logprobs = [] }
            // In place: an answer may have very many.
            logprobs?.append(contentsOf: part)
        }
        cumulativeLogprob = next.cumulativeLogprob
        finishReason = next.finishReason
        stopString = next.stopString
        usage = next.usage
        timings = next.timings
    }
}
