/// What a draft model knows of one request.
struct DraftedRequest {
    /// In the draft model's token table.
    let slot: Int
    private(set) var tokens: [Int32]
    /// Guesses that are not decided yet; they follow `tokens`.
    var guesses: [Int32] = []
    /// How many leading ones of tokens and guesses the draft model has computed.
    var computedCount = 0
    private var rate: AcceptanceRate
    /// Tokens until guessing is tried again where it doesn't pay, and how many it will be the next time.
    private var rest = Self.shortestRest
    private var nextRest = Self.shortestRest

    private static let shortestRest = 16
    private static let longestRest = 512

    /// - Parameter tokens: at least one.
    init(slot: Int, tokens: [Int32], rate: AcceptanceRate) {
        self.slot = slot
        self.tokens = tokens
        self.rate = rate
    }

    var isCaughtUp: Bool { computedCount == tokens.count + guesses.count }

    /// Takes a token of the answer. What was computed for wrong guesses is void.
    ///
    /// - Returns: whether it was guessed; nil where there was no guess.
    mutating func append(_ token: Int32) -> Bool? {
        let guess = guesses.first
        if guess == token {
            guesses.removeFirst()
        } else {
            guesses.removeAll(keepingCapacity: true)
            computedCount = min(computedCount, tokens.count)
        }
        tokens.append(token)
        guard let guess else { return nil }
        rate.record(guess == token)
        return guess == token
    }

    /// How many guesses are worth their price.
    ///
    /// - Parameter least: a guess has to come true with this probability.
    mutating func draftLength(limit: Int, least: Double) -> Int {
        // What was not verified the last time is forgotten, and the last token's logits are needed (again).
        guesses.removeAll(keepingCapacity: true)
        computedCount = min(computedCount, tokens.count - 1)
        var length = 0
        var probability = rate.value
        while length < limit, probability >= least {
            length += 1
            probability *= rate.value
        }
        if length > 0 {
            nextRest = Self.shortestRest
            return length
        }
        rest -= 1
        if rest > 0 { return 0 }
        rest = nextRest
        nextRest = min(2 * nextRest, Self.longestRest)
        // As if it just paid: if that is wrong, one guess shows it.
        rate = AcceptanceRate(min(least, 1), weight: 4)
        return 1
    }

    func withTokens(_ range: Range<Int>, _ body: (UnsafeBufferPointer<Int32>) -> Void) {
        if range.upperBound <= tokens.count {
            tokens.withUnsafeBufferPointer { body(UnsafeBufferPointer(rebasing: $0[range])) }
        } else {
            (tokens + guesses)[range].withUnsafeBufferPointer(body)
        }
    }
}
