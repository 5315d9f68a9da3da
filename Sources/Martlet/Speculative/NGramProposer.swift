/// Guesses that what followed a request's last tokens before follows them again.
///
/// A guess is free until it is verified. So there is always one, and whether it comes true is watched whether it was
/// verified or not: guesses stop where they don't pay, and begin again where they would, without a token lost on trying.
package final class NGramProposer: DraftProposer {
    private struct Request {
        var index: NGramIndex
        var rates: MatchRates
    }

    private var requests: [RequestID: Request] = [:]
    /// Over all requests: what a new one starts with.
    private var rates = MatchRates()

    package init() {}

    package func begin(_ id: RequestID, tokens: [Int32]) {
        requests[id] = Request(index: NGramIndex(tokens), rates: rates.asExpectation)
    }

    package func append(_ token: Int32, to id: RequestID) {
        guard let match = requests[id]?.index.match, let guess = requests[id]?.index.guess(0) else {
            requests[id]?.index.append(token)
            return
        }
        rates.record(guess == token, length: match.length)
        requests[id]?.rates.record(guess == token, length: match.length)
        requests[id]?.index.append(token)
    }

    package func end(_ id: RequestID) { requests[id] = nil }

    package func propose(_ drafts: inout [Draft], price: DraftPrice, sampling: (RequestID) -> SamplingState?) {
        let least = price.leastProbability()
        for place in drafts.indices { propose(&drafts[place], least: least) }
    }

    private func propose(_ draft: inout Draft, least: Double) {
        guard let place = requests.index(forKey: draft.id) else { return }
        let rates = requests.values[place].rates
        guard let length = requests.values[place].index.match?.length else { return }
        // The longer the match becomes, the more likely it goes on.
        var probability = 1.0
        for offset in 0..<draft.limit {
            probability *= rates.value(length: length + offset)
            guard probability >= least, let guess = requests.values[place].index.guess(offset) else { return }
            draft.tokens.append(guess)
        }
    }
}

/// How often matches of about the same length go on.
private struct MatchRates {
    private var rates: [AcceptanceRate]

    /// Matches of 1, 2, 3, 4 to 5, 6 to 8, and more tokens; the expectations are about what English prose and code show.
    init() {
        rates = [0.1, 0.25, 0.4, 0.6, 0.75, 0.85].map { AcceptanceRate($0, weight: 8) }
    }

    private static func kind(_ length: Int) -> Int {
        switch length {
        case ...1: 0
        case 2: 1
        case 3: 2
        case ...5: 3
        case ...8: 4
        default: 5
        }
    }

    func value(length: Int) -> Double { rates[Self.kind(length)].value }

    mutating func record(_ success: Bool, length: Int) { rates[Self.kind(length)].record(success) }

    /// The same rates, but soon outweighed.
    var asExpectation: MatchRates {
        var copy = self
        copy.rates = rates.map { AcceptanceRate($0.value, weight: 8) }
        return copy
    }
}
