/// Rotary position embedding (Su et al. 2021, "RoFormer"), in the half-split pairing that Hugging Face checkpoints use:
/// dimension i of a head is rotated together with i + dimensions/2.
///
/// Every scaling scheme (linear, llama3, yarn …) only changes the frequencies and a factor, so a backend knows one kind.
package struct RotaryEmbedding: Sendable, Hashable {
    /// Angle per position of each pair, `[dimensions / 2]`.
    package var inverseFrequencies: [Float]
    /// Multiplies cos and sin (yarn's attention factor); 1 otherwise.
    package var attentionFactor: Float
    /// Which of a token's three positions turns each pair, `[dimensions / 2]`; empty where there is but one
    /// (`StepInput.rotaryPositions`).
    package var axes: [UInt8]

    /// Leading dimensions of a head that are rotated.
    package var dimensions: Int { inverseFrequencies.count * 2 }

    package init(inverseFrequencies: [Float], attentionFactor: Float = 1, axes: [UInt8] = []) {
        precondition((axes.isEmpty || axes.count == inverseFrequencies.count) && axes.allSatisfy { $0 < 3 })
        self.axes = axes
        self.inverseFrequencies = inverseFrequencies
        self.attentionFactor = attentionFactor
    }
}
