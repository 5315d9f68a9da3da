import Foundation

/// How a text is cut into windows, and which of their tokens count.
struct PerplexityWindows {
    let tokenCount: Int
    let context: Int
    let stride: Int
    let secondHalfOnly: Bool

    struct Window: Equatable {
        /// Indices of the text's tokens that are computed.
        var tokens: Range<Int>
        /// Those among them that count: each is predicted from the window's tokens before it.
        var targets: Range<Int>
    }

    /// Whole windows only.
    var count: Int { tokenCount < context ? 0 : (tokenCount - context) / stride + 1 }

    subscript(index: Int) -> Window {
        let start = index * stride
        let end = start + context
        var firstTarget = start + 1
        if secondHalfOnly { firstTarget = start + context / 2 + 1 }
        // What an earlier window has predicted with more context than this one could counts there.
        if index > 0 { firstTarget = max(firstTarget, start - stride + context) }
        return Window(tokens: start..<end, targets: min(firstTarget, end)..<end)
    }
}

/// -log softmax(logits)[target], the sum in double precision; infinite if a logit is not a number.
func negativeLogLikelihood(of target: Int, logits: UnsafeBufferPointer<Float>) -> Double {
    var largest = -Float.infinity
    for logit in logits { largest = logit > largest ? logit : largest }
    var sum = 0.0
    for logit in logits { sum += exp(Double(logit) - Double(largest)) }
    let result = log(sum) + Double(largest) - Double(logits[target])
    return result.isNaN ? .infinity : result
}

/// Mean and standard error of negative log-likelihoods, in one pass (Welford 1962).
struct PerplexityStatistics {
    private(set) var count = 0
    private(set) var mean = 0.0
    private var squares = 0.0
    private var windowSums: [(sum: Double, count: Int)] = []

    mutating func beginWindow() { windowSums.append((0, 0)) }

    mutating func add(_ value: Double) {
        count += 1
        let difference = value - mean
        mean += difference / Double(count)
        squares += difference * (value - mean)
        if let last = windowSums.indices.last {
            windowSums[last].sum += value
            windowSums[last].count += 1
        }
    }

    var perplexity: Double { exp(mean) }

    /// One standard error of the mean, carried over to the perplexity; nil for a single value.
    var perplexityError: Double? {
        guard count > 1 else { return nil }
        return perplexity * (squares / Double(count - 1) / Double(count)).squareRoot()
    }

    var windowMeans: [Double] { windowSums.map { $0.count > 0 ? $0.sum / Double($0.count) : 0 } }
}
