/// What the model reads while the inputs of its layers are watched: samples of one length.
package struct CalibrationText: Sendable, Equatable {
    package let tokens: [Int32]
    package let length: Int
    package var samples: Int { tokens.count / length }

    /// Takes whole samples that do not overlap, evenly spaced over a text.
    ///
    /// - Parameters:
    ///   - text: its tokens.
    ///   - samples: how many to take; nil for 128, or as many as there are.
    ///   - length: tokens of a sample.
    /// - Throws: `QuantizationError` for a text that is too short.
    package init(_ text: [Int32], samples: Int?, length: Int) throws(QuantizationError) {
        precondition(length > 0 && samples ?? 1 > 0)
        let available = text.count / length
        guard available >= samples ?? 1 else {
            throw QuantizationError(
                "the calibration text has \(text.count) tokens, too few for "
                    + (samples.map { "\($0) samples" } ?? "a sample") + " of \(length)")
        }
        let count = min(samples ?? 128, available)
        let spacing = text.count / count
        self.length = length
        tokens = (0..<count).flatMap { text[$0 * spacing..<$0 * spacing + length] }
    }

    /// FNV-1a over the tokens: tells one text from another, and from nobody with bad intentions.
    var fingerprint: String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for token in tokens { hash = (hash ^ UInt64(UInt32(bitPattern: token))) &* 0x100_0000_01B3 }
        return String(hash, radix: 16) + "/\(length)"
    }
}
