import Dispatch
import Foundation

/// How a model's prediction of one token compares with a reference's.
struct TokenComparison: Equatable {
    /// Of the token that followed.
    let negativeLogLikelihood: Double
    /// KL(reference ‖ model) in nats.
    let divergence: Double
    /// Both hold the same token for the likeliest.
    let agrees: Bool

    /// - Parameters:
    ///   - reference: logits of the reference; those of the model itself give a divergence of 0.
    init(logits: UnsafeBufferPointer<Float>, reference: UnsafeBufferPointer<Float>, target: Int) {
        precondition(logits.count == reference.count)
        let (own, other) = (Softmax(logits), Softmax(reference))
        var divergence = 0.0
        for index in logits.indices {
            let expected = Double(reference[index]) - other.logSum
            divergence += exp(expected) * (expected - (Double(logits[index]) - own.logSum))
        }
        let likelihood = own.logSum - Double(logits[target])
        // What is not a number counts as infinite, here as in `perplexity`.
        negativeLogLikelihood = likelihood.isNaN ? .infinity : likelihood
        // Rounding makes equal distributions differ by some 1e-16.
        self.divergence = divergence.isNaN ? .infinity : max(divergence, 0)
        agrees = own.likeliest == other.likeliest
    }

    private struct Softmax {
        let logSum: Double
        let likeliest: Int

        init(_ logits: UnsafeBufferPointer<Float>) {
            var best = 0
            for index in logits.indices where logits[index] > logits[best] { best = index }
            let largest = Double(logits[best])
            logSum = log(logits.reduce(0.0) { $0 + exp(Double($1) - largest) }) + largest
            likeliest = best
        }
    }

    /// Compares rows `[rows, vocabulary]` on all processors.
    static func compare(
        _ logits: UnsafeBufferPointer<Float>, _ reference: UnsafeBufferPointer<Float>, vocabulary: Int, targets: [Int?]
    ) -> [TokenComparison] {
        struct Job: @unchecked Sendable {
            let logits: UnsafeBufferPointer<Float>
            let reference: UnsafeBufferPointer<Float>
            let results: UnsafeMutableBufferPointer<TokenComparison?>
        }
        var results = [TokenComparison?](repeating: nil, count: targets.count)
        results.withUnsafeMutableBufferPointer { results in
            let job = Job(logits: logits, reference: reference, results: results)
            DispatchQueue.concurrentPerform(iterations: targets.count) { row in
                guard let target = targets[row] else { return }
                let range = row * vocabulary..<(row + 1) * vocabulary
                job.results[row] = TokenComparison(
                    logits: UnsafeBufferPointer(rebasing: job.logits[range]),
                    reference: UnsafeBufferPointer(rebasing: job.reference[range]), target: target)
            }
        }
        return results.compactMap { $0 }
    }
}

/// What `eval` says about one model.
struct EvaluationResult: Encodable {
    let model: String
    /// The output that all others are compared with.
    let isReference: Bool
    let compute: String
    let kvCacheType: String
    /// Of the weights as files have them.
    let fileBytes: Int
    /// Of the weights as kernels read them.
    let weightBytes: Int
    /// Keys and values of a whole window.
    let kvBytes: Int
    let perplexity: Double
    let standardError: Double?
    /// By how much the perplexity exceeds the reference's, as a share of it.
    let perplexityIncrease: Double?
    /// KL(reference ‖ model), in nats per token.
    let divergence: Percentiles?
    /// Share of tokens where both would choose the same.
    let agreement: Double?
    /// Tokens per second of a prompt of one window, and of tokens one by one; nil where they were not measured.
    let promptRate: Double?
    let decodeRate: Double?
    /// The divergences' percentiles for the plot.
    let curve: [Double]

    /// Percentiles that the plot shows.
    static let percentiles = [1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99, 99.5, 99.9]

    static func curve(_ values: [Double]) -> [Double] {
        guard !values.isEmpty else { return [] }
        let sorted = values.sorted()
        return percentiles.map { sorted[Int((Double(sorted.count - 1) * $0 / 100).rounded())] }
    }
}
