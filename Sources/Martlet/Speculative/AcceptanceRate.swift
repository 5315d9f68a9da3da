/// How often guesses of one kind come true: a mean in which old trials fade.
struct AcceptanceRate: Sendable, Hashable {
    private(set) var value: Double
    /// How many trials the mean is worth.
    private var weight: Double

    /// Trials that are remembered.
    private static let memory = 40.0

    /// - Parameters:
    ///   - value: what is expected before the first trial.
    ///   - weight: how many trials that expectation is worth.
    init(_ value: Double, weight: Double) {
        self.value = value
        self.weight = weight
    }

    mutating func record(_ success: Bool) {
        weight = min(weight + 1, Self.memory)
        value += ((success ? 1 : 0) - value) / weight
    }
}
