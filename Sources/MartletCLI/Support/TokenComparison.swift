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

    /// - Parameter reference: what is compared with; that of the logits themselves gives a divergence of 0.
    init(logits: UnsafeBufferPointer<Float>, reference: ReferenceDistribution, target: Int) {
        precondition(logits.count == reference.probabilities.count)
        let own = Softmax(logits)
        let likelihood = own.logSum - Double(logits[target])
        // What is not a number counts as infinite, here as in `perplexity`.
        negativeLogLikelihood = likelihood.isNaN ? .infinity : likelihood
        var cross = own.logSum
        for index in logits.indices { cross -= reference.probabilities[index] * Double(logits[index]) }
        let divergence = cross - reference.entropy
        // Rounding makes equal distributions differ by some 1e-15.
        self.divergence = divergence.isNaN ? .infinity : max(divergence, 0)
        agrees = own.likeliest == reference.likeliest
    }

    /// Compares rows `[rows, vocabulary]` of several models with those of a reference, on all processors.
    ///
    /// - Parameter targets: the token that each row should predict; nil for rows that do not count.
    /// - Returns: for each model, the rows that count.
    static func compare(
        _ models: [UnsafeBufferPointer<Float>], reference: UnsafeBufferPointer<Float>, vocabulary: Int, targets: [Int?]
    ) -> [[TokenComparison]] {
        struct Job: @unchecked Sendable {
            let models: [UnsafeBufferPointer<Float>]
            let reference: UnsafeBufferPointer<Float>
            /// `[rows][models]`.
            let results: UnsafeMutableBufferPointer<TokenComparison?>
        }
        var results = [TokenComparison?](repeating: nil, count: targets.count * models.count)
        results.withUnsafeMutableBufferPointer { results in
            let job = Job(models: models, reference: reference, results: results)
            DispatchQueue.concurrentPerform(iterations: targets.count) { row in
                guard let target = targets[row] else { return }
                let range = row * vocabulary..<(row + 1) * vocabulary
                let reference = ReferenceDistribution(UnsafeBufferPointer(rebasing: job.reference[range]))
                for (index, logits) in job.models.enumerated() {
                    job.results[row * job.models.count + index] = TokenComparison(
                        logits: UnsafeBufferPointer(rebasing: logits[range]), reference: reference, target: target)
                }
            }
        }
        return models.indices.map { model in
            targets.indices.compactMap { results[$0 * models.count + model] }
        }
    }
}

/// What a reference expects of one token.
struct ReferenceDistribution {
    let probabilities: [Double]
    /// -Σ p log p, in nats.
    let entropy: Double
    let likeliest: Int

    init(_ logits: UnsafeBufferPointer<Float>) {
        let softmax = Softmax(logits)
        let probabilities = logits.map { exp(Double($0) - softmax.logSum) }
        entropy = zip(probabilities, logits).reduce(softmax.logSum) { $0 - $1.0 * Double($1.1) }
        self.probabilities = probabilities
        likeliest = softmax.likeliest
    }
}

/// The logarithm of the sum of exponentials, in double precision.
private struct Softmax {
    let logSum: Double
    let likeliest: Int

    init(_ logits: UnsafeBufferPointer<Float>) {
        var best = 0
        for index in logits.indices where logits[index] > logits[best] { best = index }
        let largest = Double(logits[best])
        var sum = 0.0
        for logit in logits { sum += exp(Double(logit) - largest) }
        logSum = log(sum) + largest
        likeliest = best
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
