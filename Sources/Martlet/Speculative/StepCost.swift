/// How long steps take that only decode, as a line: so much for the weights, and so much for every token.
///
/// Least squares over the last steps, older ones fading. Where all steps have the same number of tokens the slope can't
/// be seen; a prior of the weight of one step that differs by one token stands in.
package struct StepCost: Sendable {
    /// A step of two tokens takes this much longer than a step of one, as long as nothing else is known.
    private static let priorSlope = 0.25
    /// Steps that are remembered.
    private static let memory = 64.0
    /// A step that takes longer than this many times what was expected was disturbed.
    private static let disturbance = 2.0

    private var weight = 0.0
    private var meanTokens = 0.0
    private var meanSeconds = 0.0
    private var meanAnswerTokens = 0.0
    /// Variance of the token counts, and their covariance with the seconds.
    private var variance = 0.0
    private var covariance = 0.0

    package init() {}

    /// - Parameters:
    ///   - tokens: of all requests together, guesses included; each of them had logits.
    ///   - answerTokens: what became part of answers.
    package mutating func record(tokens: Int, answerTokens: Int, seconds: Double) {
        let tokens = Double(tokens)
        let seconds = weight < 4 ? seconds : min(seconds, Self.disturbance * self.seconds(tokens: tokens))
        weight = min(weight + 1, Self.memory)
        let share = 1 / weight
        // West's update of mean and (co)variance, with exponential forgetting.
        let tokensOff = tokens - meanTokens
        let secondsOff = seconds - meanSeconds
        meanTokens += share * tokensOff
        meanSeconds += share * secondsOff
        meanAnswerTokens += share * (Double(answerTokens) - meanAnswerTokens)
        variance = (1 - share) * (variance + share * tokensOff * tokensOff)
        covariance = (1 - share) * (covariance + share * tokensOff * secondsOff)
    }

    /// Nil before the first step.
    package var price: DraftPrice? {
        guard weight > 0, meanSeconds > 0, meanAnswerTokens > 0 else { return nil }
        return DraftPrice(verification: slope, answerToken: meanSeconds / meanAnswerTokens)
    }

    private func seconds(tokens: Double) -> Double { meanSeconds + max(0, slope * (tokens - meanTokens)) }

    private var slope: Double {
        let prior = Self.priorSlope * meanSeconds / (1 + Self.priorSlope * (meanTokens - 1))
        let priorWeight = 1 / Self.memory
        return max((covariance + priorWeight * prior) / (variance + priorWeight), 0)
    }
}
