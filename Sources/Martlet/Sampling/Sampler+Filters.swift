import Foundation

/// Filters that look at the whole distribution of the candidates, not only at their order.
extension Sampler {
    /// Locally typical sampling (Meister, Pimentel, Wiher and Cotterell, "Locally Typical Sampling", TACL 2023): keeps the
    /// fewest candidates whose surprise -log p is nearest to its mean, the entropy, and that have `mass` together.
    ///
    /// - Returns: how many are left.
    func keepTypical(_ count: Int, mass: Double) -> Int {
        let count = keep(count) { $0.weight > 0 }
        let total = sum(count)
        var mean = 0.0
        for index in 0..<count {
            let weight = Double(candidates[index].weight)
            mean -= weight * log(weight)
        }
        mean /= total
        // -log p and the entropy both have log(total) more; it cancels out.
        func typicality(_ candidate: Candidate) -> Candidate {
            let distance = abs(-log(Double(candidate.weight)) - mean)
            return Candidate(token: Int(candidate.token), logit: -Float(distance), weight: candidate.weight)
        }
        for index in 0..<count { selection[index] = typicality(candidates[index]) }
        let least = Candidate.leastKey(
            among: UnsafeMutableBufferPointer(start: selection, count: count), reaching: mass * total
        ) { Double($0.weight) }
        return keep(count) { typicality($0).key >= least }
    }

    /// XTC: of the candidates whose probability reaches `threshold`, only the least likely one stays (of equals the one
    /// with the highest id). Nothing happens where there are fewer than two.
    ///
    /// - Returns: how many are left.
    func dropTopChoices(_ count: Int, threshold: Double) -> Int {
        // Those that are masked are no choices, even where the threshold is 0.
        let count = keep(count) { $0.weight > 0 }
        let bar = threshold * sum(count)
        var least: UInt64?
        for index in 0..<count where Double(candidates[index].weight) >= bar {
            least = min(least ?? .max, candidates[index].key)
        }
        guard let least else { return count }
        return keep(count) { Double($0.weight) < bar || $0.key == least }
    }
}
