import Foundation

extension Sampler {
    /// Log-probabilities of a row as the model gave it: of `token`, and of the `alternatives` most likely ones.
    ///
    /// - Parameter peak: the row's largest logit; `scan` has just read this row.
    func logprobs(
        of token: Int32, in logits: UnsafePointer<Float>, peak: Float, alternatives: Int
    ) -> SampledToken.Logprobs {
        precondition(token >= 0 && Int(token) < vocabularySize)
        let logarithmOfSum = Double(peak) + log(weigh(logits, peak: peak, scale: 1))
        func logprob(_ token: Int32) -> Float { Float(Double(logits[Int(token)]) - logarithmOfSum) }
        var top: [SampledToken.Alternative] = []
        if alternatives > 0 {
            var count = gather(logits, from: blockMaximum(rank: alternatives))
            let least = leastKey(count, reaching: Double(alternatives)) { _ in 1 }
            count = keep(count) { $0.key >= least }
            top = UnsafeBufferPointer(start: candidates, count: count).sorted { $0.key > $1.key }
                .map { .init(token: $0.token, logprob: logprob($0.token)) }
        }
        return SampledToken.Logprobs(chosen: logprob(token), top: top)
    }
}
