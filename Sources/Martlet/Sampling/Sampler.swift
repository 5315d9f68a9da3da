/// Draws one token from one row of logits.
///
/// The draw is a function of (logits, request, position) alone: what this type stores is scratch memory, so several
/// workers with a sampler each may share a step's rows. Nothing is allocated for a draw, and the vocabulary is never
/// sorted: one pass finds the maximum of every block of 64 logits, and later passes skip the blocks that can't matter.
package struct Sampler: ~Copyable {
    static let blockSize = 64

    package let vocabularySize: Int
    let blockCount: Int
    /// The row with bias, mask and penalties applied, `[vocabularySize]`.
    private let adjustedLogits: UnsafeMutablePointer<Float>
    /// Unnormalized probabilities, `[vocabularySize]` and room to fill the last vector.
    let weights: UnsafeMutablePointer<Float>
    /// The largest logit of each block, and the sum of its weights.
    let blockMaxima: UnsafeMutablePointer<Float>
    let blockSums: UnsafeMutablePointer<Double>
    let candidates: UnsafeMutablePointer<Candidate>
    let selection: UnsafeMutablePointer<Candidate>

    package init(vocabularySize: Int) {
        precondition(vocabularySize > 0 && vocabularySize <= Int(Int32.max))
        self.vocabularySize = vocabularySize
        blockCount = (vocabularySize + Self.blockSize - 1) / Self.blockSize
        // Left uninitialized: what no draw uses takes no memory.
        adjustedLogits = .allocate(capacity: vocabularySize)
        weights = .allocate(capacity: blockCount * Self.blockSize)
        blockMaxima = .allocate(capacity: blockCount)
        blockSums = .allocate(capacity: blockCount)
        candidates = .allocate(capacity: vocabularySize)
        selection = .allocate(capacity: vocabularySize)
    }

    deinit {
        adjustedLogits.deallocate()
        weights.deallocate()
        blockMaxima.deallocate()
        blockSums.deallocate()
        candidates.deallocate()
        selection.deallocate()
    }

    /// Draws the token that will stand at `position` of the request.
    ///
    /// - Parameter logits: `[vocabularySize]`, as the model gave them.
    /// - Throws: `samplingFailed` when a logit is NaN or infinite, `overconstrained` when no token may be chosen.
    package func sample(
        _ logits: UnsafeBufferPointer<Float>, _ state: borrowing SamplingState, position: Int
    ) throws(EngineError) -> SampledToken {
        precondition(logits.count == vocabularySize)
        guard let row = logits.baseAddress else { preconditionFailure("a row has logits") }
        var adjusted = row
        if state.adjustsLogits {
            try state.adjust(row, into: adjustedLogits, count: vocabularySize)
            adjusted = UnsafePointer(adjustedLogits)
        }
        let peak = try scan(adjusted)
        let token =
            state.isGreedy ? firstIndex(of: peak, in: adjusted) : draw(adjusted, peak: peak, state, position: position)
        var result = SampledToken(token: token)
        if let count = state.logprobs {
            let rawPeak = state.adjustsLogits ? try scan(row) : peak
            result.logprobs = logprobs(of: token, in: row, peak: rawPeak, alternatives: count)
        }
        return result
    }

    /// Log-probabilities of a token that was not drawn, but given.
    ///
    /// - Throws: `samplingFailed` when a logit is NaN or infinite.
    package func logprobs(
        of token: Int32, _ logits: UnsafeBufferPointer<Float>, alternatives: Int
    ) throws(EngineError) -> SampledToken {
        precondition(logits.count == vocabularySize)
        guard let row = logits.baseAddress else { preconditionFailure("a row has logits") }
        let peak = try scan(row)
        return SampledToken(
            token: token, logprobs: logprobs(of: token, in: row, peak: peak, alternatives: alternatives))
    }

    /// Fills `blockMaxima`.
    ///
    /// - Returns: the largest logit.
    func scan(_ logits: UnsafePointer<Float>) throws(EngineError) -> Float {
        typealias Vector = SIMD8<Float>
        let wholeBlocks = vocabularySize / Self.blockSize
        let raw = UnsafeRawPointer(logits)
        var isNotANumber = SIMDMask<SIMD8<Int32>>(repeating: false)
        var peak = -Float.infinity
        for block in 0..<wholeBlocks {
            var maximum = Vector(repeating: -.infinity)
            for index in stride(from: block * Self.blockSize, to: (block + 1) * Self.blockSize, by: 8) {
                let vector = raw.loadUnaligned(fromByteOffset: index * 4, as: Vector.self)
                isNotANumber .|= vector .!= vector
                maximum.replace(with: vector, where: vector .> maximum)
            }
            blockMaxima[block] = maximum.max()
            peak = max(peak, blockMaxima[block])
        }
        var tailIsNotANumber = false
        if wholeBlocks < blockCount {
            var maximum = -Float.infinity
            for index in wholeBlocks * Self.blockSize..<vocabularySize {
                tailIsNotANumber = tailIsNotANumber || logits[index].isNaN
                maximum = max(maximum, logits[index])
            }
            blockMaxima[wholeBlocks] = maximum
            peak = max(peak, maximum)
        }
        guard !any(isNotANumber) && !tailIsNotANumber else {
            throw EngineError(.samplingFailed, "the model's logits are not numbers (NaN)")
        }
        guard peak < .infinity else { throw EngineError(.samplingFailed, "the model's logits are infinite") }
        guard peak > -.infinity else { throw EngineError(.overconstrained, "no token may be chosen") }
        return peak
    }

    /// The lowest id whose logit is the largest.
    private func firstIndex(of peak: Float, in logits: UnsafePointer<Float>) -> Int32 {
        var index = 0
        while blockMaxima[index] != peak { index += 1 }
        index *= Self.blockSize
        while logits[index] != peak { index += 1 }
        return Int32(index)
    }
}
