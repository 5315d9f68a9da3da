/// Speculative decoding in an engine: asks for guesses before each step, and keeps account of what they bring.
///
/// The step computes a request's draft together with its last token, and the sampler draws at every one of these
/// positions with the random number of that position, as it would without a draft, until it draws something else than
/// the draft has. So answers are the same to the bit; only their time changes (Leviathan et al., ICML 2023, accept with
/// a certain probability instead, which keeps the distribution, but not the answer).
final class Speculator {
    private let proposer: any DraftProposer
    /// Guesses per request and step, at most.
    private let maxDraftTokens: Int
    /// Guesses as many as pay, or always as many as it may.
    private let isAdaptive: Bool
    private var cost = StepCost()
    private(set) var statistics = SpeculationStatistics()
    /// Requests that the proposer follows.
    private var followed: Set<RequestID> = []
    // Kept between steps so that a step allocates nothing.
    private var drafts: [Draft] = []
    private var places: [Int] = []

    init(_ proposer: any DraftProposer, maxDraftTokens: Int, isAdaptive: Bool) {
        self.proposer = proposer
        self.maxDraftTokens = maxDraftTokens
        self.isAdaptive = isAdaptive
    }

    /// Gives the scheduler drafts for requests whose next token is due.
    func propose(_ scheduler: inout Scheduler, sampling: (RequestID) -> SamplingState?) {
        drafts.removeAll(keepingCapacity: true)
        places.removeAll(keepingCapacity: true)
        for index in scheduler.running.indices where scheduler.running[index].isDecoding {
            follow(scheduler.running[index])
            let limit = min(maxDraftTokens, Self.remaining(scheduler.running[index]) - 1)
            guard limit > 0 else { continue }
            drafts.append(Draft(id: scheduler.running[index].id, limit: limit))
            places.append(index)
        }
        forgetOthers(than: scheduler.running)
        guard !drafts.isEmpty, let price = isAdaptive ? cost.price : .free else { return }
        proposer.propose(&drafts, price: price, sampling: sampling)
        for (draft, index) in zip(drafts, places) where !draft.tokens.isEmpty {
            scheduler.propose(draft.tokens, at: index)
        }
    }

    /// Tokens that an answer may still have.
    private static func remaining(_ request: RequestState) -> Int {
        request.limits.maxTokens - request.generatedCount
    }

    private func follow(_ request: RequestState) {
        guard followed.insert(request.id).inserted else { return }
        proposer.begin(request.id, tokens: Array(request.tokens[..<request.knownCount]))
    }

    /// Requests that have ended, or lost their rows, are forgotten.
    private func forgetOthers(than running: [RequestState]) {
        guard followed.count > drafts.count else { return }
        for id in followed where !running.contains(where: { $0.id == id }) {
            followed.remove(id)
            proposer.end(id)
        }
    }

    /// Takes what became of a step.
    func record(_ step: SchedulerOutput, _ drawn: DrawnTokens, seconds: Double) {
        var (entry, draw) = (0, 0)
        for index in step.entries.indices where step.entries[index].drawCount > 0 {
            let count = drawn.counts[entry]
            for token in drawn.tokens[draw..<draw + count] {
                if let token { proposer.append(token, to: step.entries[index].id) }
            }
            if step.entries[index].drawCount > 1, count > 0 {
                statistics.drafts += 1
                statistics.draftTokens += step.entries[index].drawCount - 1
                statistics.acceptedTokens += count - 1
            }
            entry += 1
            draw += count
        }
        if step.promptTokenCount == 0 {
            cost.record(tokens: step.tokenCount, answerTokens: drawn.tokens.count, seconds: seconds)
        }
    }
}
