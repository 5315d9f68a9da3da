/// Predicts how long steps take, from those before: what a step costs in which everybody gets a next token, and what a
/// prompt's tokens add to it.
///
/// A prompt's token costs something by itself, and something for every position that it attends to. The two are fitted to
/// each step as it comes (normalized least mean squares; Widrow and Hoff 1960): half of the error at that point is
/// corrected. The next step is much like the last, so that is where the prediction has to be good.
package struct StepCostModel: Sendable {
    /// Units in which both numbers of an ordinary chunk are near 1.
    private static let tokenUnit = 64.0
    private static let positionUnit = 64.0 * 1024

    /// Seconds of a step without prompts.
    package private(set) var decoding: Double?
    private var perTokenUnit: Double?
    private var perPositionUnit = 0.0

    package init() {}

    package var perToken: Double { (perTokenUnit ?? 0) / Self.tokenUnit }
    package var perPosition: Double { perPositionUnit / Self.positionUnit }

    /// Takes note of a step.
    ///
    /// - Parameters:
    ///   - promptTokens: how many of its `tokens` belong to prompts.
    ///   - promptPositions: how many positions these attend to, all together.
    package mutating func record(tokens: Int, promptTokens: Int, promptPositions: Int, seconds: Double) {
        guard promptTokens > 0 else {
            decoding = decoding.map { $0 + 0.25 * (seconds - $0) } ?? seconds
            return
        }
        let x = Double(promptTokens) / Self.tokenUnit
        let y = Double(promptPositions) / Self.positionUnit
        let measured = seconds - (tokens > promptTokens ? decoding ?? 0 : 0)
        guard let old = perTokenUnit else {
            perTokenUnit = max(0, measured) / x
            return
        }
        let correction = 0.5 * (measured - old * x - perPositionUnit * y) / (x * x + y * y)
        perTokenUnit = max(0, old + correction * x)
        perPositionUnit = max(0, perPositionUnit + correction * y)
    }

    /// What prompts may add to a step so that it takes `target` seconds. Where decoding alone takes more than half of that,
    /// prompts get as much time as decoding does: they have to end some day.
    package func allowance(target: Double) -> PromptAllowance {
        // Nothing is known yet: the smallest chunk, and it will be.
        guard perTokenUnit != nil else { return PromptAllowance(0, perToken: 1, perPosition: 0) }
        let decoding = decoding ?? 0
        return PromptAllowance(max(target - decoding, decoding), perToken: perToken, perPosition: perPosition)
    }
}
