/// What prompts may add to a step in which other requests wait for their next token.
///
/// A prompt's token costs `perToken` and, for every position that it attends to, `perPosition`. The unit is the caller's:
/// the engine measures seconds; the scheduler only counts.
package struct PromptAllowance: Sendable, Hashable {
    /// Fewer tokens of a prompt per step would leave the processor's vectors empty.
    package static let smallestChunk = 16

    package private(set) var remaining: Double
    private let perToken: Double
    private let perPosition: Double
    private var isUntouched = true

    package init(_ total: Double, perToken: Double, perPosition: Double) {
        precondition(perToken >= 0 && perPosition >= 0)
        remaining = total
        self.perToken = perToken
        self.perPosition = perPosition
    }

    package static let unlimited = PromptAllowance(.infinity, perToken: 0, perPosition: 0)

    /// How many tokens of a prompt fit, from position `start` on. The step's first chunk is never refused altogether.
    package func tokens(from start: Int) -> Int {
        guard remaining < .infinity else { return .max }
        let least = isUntouched ? Self.smallestChunk : 0
        guard remaining > 0 else { return least }
        // n tokens cost n · (perToken + perPosition · start) + perPosition · n² / 2.
        let linear = perToken + perPosition * Double(start)
        let root = (linear * linear + 2 * perPosition * remaining).squareRoot()
        guard linear + root > 0 else { return .max }
        let most = 2 * remaining / (linear + root)
        return max(least, most < 1e9 ? Int(most) : .max)
    }

    /// What is left for others than prompts. Their first chunk is not refused either: they must not wait until there are no
    /// more prompts.
    ///
    /// - Parameters:
    ///   - tokens: of prompts, that are part of the step.
    ///   - positions: how many these attend to, all together.
    package func rest(afterTokens tokens: Int, positions: Int) -> PromptAllowance {
        let cost = perToken * Double(tokens) + perPosition * Double(positions)
        return PromptAllowance(remaining - cost, perToken: perToken, perPosition: perPosition)
    }

    package mutating func charge(_ count: Int, from start: Int) {
        isUntouched = false
        remaining -= Double(count) * (perToken + perPosition * (Double(start) + Double(count) / 2))
    }
}
