import Foundation

extension Sampler {
    /// Temperature, min-p, top-k, top-p, typical-p, XTC, and the draw.
    ///
    /// The uniform number is turned into a token by walking through the remaining tokens in the order of their ids.
    func draw(
        _ logits: UnsafePointer<Float>, peak: Float, _ state: borrowing SamplingState, position: Int
    ) -> Int32 {
        let uniform = Philox.uniform(seed: state.seed, position: UInt64(position))
        let topK = state.topK > 0 && state.topK < vocabularySize ? state.topK : nil
        let scale = 1 / state.temperature
        let excludesTopChoices =
            state.xtcProbability > 0
            && Philox.uniform(seed: state.seed, position: UInt64(position), purpose: .xtc)
                < Double(state.xtcProbability)
        guard topK != nil || state.topP < 1 || state.minP > 0 || state.typicalP < 1 || excludesTopChoices else {
            return pick(uniform * weigh(logits, peak: peak, scale: scale))
        }

        // A logit that every token in question reaches: blocks below it are skipped.
        var floor = -Float.infinity
        if let topK { floor = blockMaximum(rank: topK) }
        if state.minP > 0 { floor = max(floor, logit(ofWeight: Double(state.minP), peak: peak, state)) }
        if topK == nil && state.minP == 0 && state.topP < 1 {
            // Tokens of this weight or less sum up to what top-p leaves out, even if they were all there is.
            let total = weigh(logits, peak: peak, scale: scale)
            let weight = (1 - Double(state.topP)) * total / Double(vocabularySize)
            floor = logit(ofWeight: weight, peak: peak, state)
        }
        var count = gather(logits, from: floor)
        weigh(candidates: count, peak: peak, scale: scale)

        if state.minP > 0 {
            let minP = state.minP
            count = keep(count) { $0.weight >= minP }
        }
        if let topK, topK < count {
            let least = leastKey(count, reaching: Double(topK)) { _ in 1 }
            count = keep(count) { $0.key >= least }
        }
        if state.topP < 1 {
            // Without top-k and min-p, the candidates' weights lack what lies below the floor.
            let total = topK == nil && state.minP == 0 ? sumOfBlocks() : sum(count)
            let least = leastKey(count, reaching: Double(state.topP) * total) { Double($0.weight) }
            count = keep(count) { $0.key >= least }
        }
        if state.typicalP < 1 { count = keepTypical(count, mass: Double(state.typicalP)) }
        if excludesTopChoices { count = dropTopChoices(count, threshold: Double(state.xtcThreshold)) }
        return pick(uniform * sum(count), among: count)
    }

    // MARK: All tokens

    /// Fills `weights` and `blockSums` for all tokens.
    ///
    /// - Returns: the sum.
    func weigh(_ logits: UnsafePointer<Float>, peak: Float, scale: Float) -> Double {
        let raw = UnsafeRawPointer(logits)
        var total = 0.0
        for block in 0..<blockCount {
            let start = block * Self.blockSize
            let end = min(start + Self.blockSize, vocabularySize)
            var sum = SIMD8<Float>(repeating: 0)
            var index = start
            while index + 8 <= end {
                let vector = raw.loadUnaligned(fromByteOffset: index * 4, as: SIMD8<Float>.self)
                let weight = fastExponential((vector - peak) * scale)
                UnsafeMutableRawPointer(weights + index).storeBytes(of: weight, as: SIMD8<Float>.self)
                sum += weight
                index += 8
            }
            if index < end {
                var vector = SIMD8<Float>(repeating: -.infinity)
                for lane in 0..<end - index { vector[lane] = logits[index + lane] }
                let weight = fastExponential((vector - peak) * scale)
                UnsafeMutableRawPointer(weights + index).storeBytes(of: weight, as: SIMD8<Float>.self)
                sum += weight
            }
            blockSums[block] = Double(sum.sum())
            total += blockSums[block]
        }
        return total
    }

    private func sumOfBlocks() -> Double {
        var total = 0.0
        for block in 0..<blockCount { total += blockSums[block] }
        return total
    }

    /// The token at which the sum of weights exceeds `target`.
    private func pick(_ target: Double) -> Int32 {
        var block = 0
        var before = 0.0
        while block < blockCount - 1, before + blockSums[block] <= target {
            before += blockSums[block]
            block += 1
        }
        let start = block * Self.blockSize
        var token = start
        for index in start..<min(start + Self.blockSize, vocabularySize) where weights[index] > 0 {
            token = index
            before += Double(weights[index])
            if before > target { break }
        }
        return Int32(token)
    }

    // MARK: Candidates

    /// The `rank`-th largest block maximum, or -infinity where there are fewer blocks. At least `rank` logits reach it.
    func blockMaximum(rank: Int) -> Float {
        guard rank <= blockCount else { return -.infinity }
        for block in 0..<blockCount {
            selection[block] = Candidate(token: block, logit: blockMaxima[block], weight: 0)
        }
        let blocks = UnsafeMutableBufferPointer(start: selection, count: blockCount)
        let least = Candidate.leastKey(among: blocks, reaching: Double(rank)) { _ in 1 }
        return blockMaxima[Int(Candidate(key: least).token)]
    }

    /// A logit slightly below that of a token with this weight.
    private func logit(ofWeight weight: Double, peak: Float, _ state: borrowing SamplingState) -> Float {
        // The slack covers the rounding of weights (2e-7) and of this.
        peak + Float(Double(state.temperature) * (log(weight) - 1e-3)) - abs(peak) * 1e-6
    }

    /// Makes candidates of the tokens whose logits reach `floor`, in the order of their ids.
    ///
    /// - Returns: how many there are.
    func gather(_ logits: UnsafePointer<Float>, from floor: Float) -> Int {
        var count = 0
        for block in 0..<blockCount where blockMaxima[block] >= floor {
            let start = block * Self.blockSize
            for token in start..<min(start + Self.blockSize, vocabularySize) where logits[token] >= floor {
                weights[count] = logits[token]
                candidates[count] = Candidate(token: token, logit: logits[token], weight: 0)
                count += 1
            }
        }
        return count
    }

    /// Turns the logits that `gather` left in `weights` into weights.
    private func weigh(candidates count: Int, peak: Float, scale: Float) {
        for start in stride(from: 0, to: count, by: 8) {
            let end = min(start + 8, count)
            var vector = SIMD8<Float>(repeating: -.infinity)
            for index in start..<end { vector[index - start] = weights[index] }
            let weight = fastExponential((vector - peak) * scale)
            for index in start..<end { candidates[index].weight = weight[index - start] }
        }
    }

    @inline(__always)
    func leastKey(_ count: Int, reaching target: Double, measure: (Candidate) -> Double) -> UInt64 {
        selection.update(from: candidates, count: count)
        let copy = UnsafeMutableBufferPointer(start: selection, count: count)
        return Candidate.leastKey(among: copy, reaching: target, measure: measure)
    }

    @inline(__always)
    func keep(_ count: Int, where predicate: (Candidate) -> Bool) -> Int {
        var kept = 0
        for index in 0..<count where predicate(candidates[index]) {
            candidates[kept] = candidates[index]
            kept += 1
        }
        return kept
    }

    func sum(_ count: Int) -> Double {
        var total = 0.0
        for index in 0..<count { total += Double(candidates[index].weight) }
        return total
    }

    /// The candidate at which the sum of weights exceeds `target`.
    private func pick(_ target: Double, among count: Int) -> Int32 {
        var choice = 0
        var before = 0.0
        for index in 0..<count where candidates[index].weight > 0 {
            choice = index
            before += Double(candidates[index].weight)
            if before > target { break }
        }
        return candidates[choice].token
    }
}
