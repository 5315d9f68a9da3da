/// How many rows some requests will need at most while they run side by side (LightLLM's admission rule: Gong et al.,
/// "Past-Future Scheduler for LLM Serving under SLA Guarantees", ASPLOS 2025).
///
/// Requests are expected to end in the order of what they still have to generate. When the i-th longest is about to end,
/// i of them are left, and each has grown by what that one had to generate.
struct PeakEstimate: Sendable {
    private struct Share: Sendable {
        var known: Int
        var remaining: Int
    }

    private var shares: [Share] = []

    mutating func removeAll() { shares.removeAll(keepingCapacity: true) }

    /// - Parameters:
    ///   - known: rows for the known tokens of a request, without those that it shares.
    ///   - remaining: tokens that it is expected to generate yet.
    mutating func add(known: Int, remaining: Int) {
        shares.append(Share(known: known, remaining: remaining))
    }

    mutating func peak() -> Int {
        shares.sort { $0.remaining > $1.remaining }
        var (peak, known) = (0, 0)
        for (index, share) in shares.enumerated() {
            known += share.known
            peak = max(peak, known + share.remaining * (index + 1))
        }
        return peak
    }
}

/// How long answers get, learned from those that are finished.
struct AnswerLength: Sendable {
    /// Weight of the latest answer.
    private static let weight = 1.0 / 16
    private var mean = 256.0
    /// Where set, nothing is learned.
    private let assumed: Int?

    init(assumed: Int?) {
        self.assumed = assumed
    }

    mutating func record(_ tokens: Int) { mean += Self.weight * (Double(tokens) - mean) }

    /// Tokens that a request will yet generate: up to half again of what others did, and at least a little more than it
    /// has. Where nothing ends it but the `maxTokens` that were asked for, that is certain.
    func remaining(_ request: borrowing RequestState) -> Int {
        let most = request.limits.maxTokens - request.generatedCount
        if let assumed { return min(most, max(assumed - request.generatedCount, 0)) }
        let limits = request.limits
        if limits.stopTokens.isEmpty && !limits.isOpenEnded { return most }
        let generated = Double(request.generatedCount)
        return min(most, Int(max(1.5 * mean - generated, 0.1 * generated, 16)))
    }
}
