package import MartletGraph

/// Guesses with a smaller model that has the same vocabulary (Leviathan, Kalman and Matias, "Fast Inference from
/// Transformers via Speculative Decoding", ICML 2023).
///
/// It draws as the target model will: with the request's parameters and the random number of the same position. So the
/// nearer its distribution is to the target's, the more often both choose the same token, at any temperature.
///
/// The draft model has a KV cache of its own. It computes a request's tokens only when they are needed for a guess.
package final class DraftModelProposer: DraftProposer {
    private let limits: StepLimits
    /// Tokens that the draft model can hold of one request.
    private let contextLength: Int
    private let compute: (StepInput) throws -> UnsafeBufferPointer<Float>
    private let input: StepInput
    private var rows: DraftRows
    private let sampler: Sampler
    private var cache: KVCacheManager
    private var table: TokenTable
    private var requests: [RequestID: DraftedRequest] = [:]
    /// Over all requests: what a new one starts with.
    private var rate = AcceptanceRate(0.7, weight: 8)
    /// What drawing one guess takes.
    private var secondsPerGuess = 0.0
    /// The drafts that go on; kept so that a round allocates nothing.
    private var open: [Int] = []

    /// - Parameters:
    ///   - vocabularySize: of the draft model. It may have more or fewer rows of padding than the target's.
    ///   - targetVocabularySize: no guess is outside of it.
    ///   - compute: runs the draft model, as `ModelRunner`'s does.
    package init(
        limits: StepLimits, rowCount: Int, contextLength: Int, vocabularySize: Int, targetVocabularySize: Int,
        compute: @escaping (StepInput) throws -> UnsafeBufferPointer<Float>
    ) {
        self.limits = limits
        self.contextLength = min(contextLength, rowCount)
        self.compute = compute
        input = StepInput(limits: limits)
        rows = DraftRows(width: vocabularySize, targetWidth: targetVocabularySize)
        sampler = Sampler(vocabularySize: targetVocabularySize)
        cache = KVCacheManager(rowCount: rowCount)
        table = TokenTable(slotCount: limits.requests, positionCount: self.contextLength)
    }

    package convenience init(_ model: any CompiledModel, contextLength: Int, targetVocabularySize: Int) {
        self.init(
            limits: model.limits, rowCount: model.kvRows, contextLength: contextLength,
            vocabularySize: model.plan.logits.shape.width, targetVocabularySize: targetVocabularySize,
            compute: model.run)
    }

    package func begin(_ id: RequestID, tokens: [Int32]) {
        guard !tokens.isEmpty, let slot = table.acquireSlot() else { return }
        requests[id] = DraftedRequest(slot: slot, tokens: tokens, rate: AcceptanceRate(rate.value, weight: 8))
    }

    package func append(_ token: Int32, to id: RequestID) {
        guard let before = requests[id]?.computedCount else { return }
        if let success = requests[id]?.append(token) { rate.record(success) }
        releaseRows(of: id, before: before)
    }

    package func end(_ id: RequestID) {
        guard let request = requests.removeValue(forKey: id) else { return }
        let rows = table.rows(request.slot)
        for position in 0..<request.computedCount { cache.release(rows[position]) }
        table.releaseSlot(request.slot)
    }

    /// Gives back the rows of what was computed of a request before and is void now.
    private func releaseRows(of id: RequestID, before: Int) {
        guard let request = requests[id] else { return }
        let rows = table.rows(request.slot)
        for position in request.computedCount..<before { cache.release(rows[position]) }
    }

    // MARK: Guessing

    package func propose(_ drafts: inout [Draft], price: DraftPrice, sampling: (RequestID) -> SamplingState?) {
        let least = price.leastProbability(drafting: secondsPerGuess)
        open.removeAll(keepingCapacity: true)
        for index in drafts.indices {
            let id = drafts[index].id
            guard let before = requests[id]?.computedCount else { continue }
            let length = requests[id]?.draftLength(limit: drafts[index].limit, least: least) ?? 0
            releaseRows(of: id, before: before)
            drafts[index].limit = length
            if length > 0 { open.append(index) }
        }
        while !open.isEmpty {
            do {
                try draw(&drafts, sampling)
            } catch {
                // A draft model that fails costs its guesses, not the requests.
                return
            }
        }
    }

    /// One step of the draft model: a token more for every draft that is open.
    private func draw(_ drafts: inout [Draft], _ sampling: (RequestID) -> SamplingState?) throws {
        let start = ContinuousClock.now
        input.removeAll()
        open.removeAll { !schedule(drafts[$0].id) }
        guard !open.isEmpty else { return }
        let logits = try compute(input)
        var row = 0
        let isDecoding = input.tokenCount <= 2 * open.count
        let count = open.count
        open.removeAll { index in
            guard let request = requests[drafts[index].id], request.isCaughtUp else { return true }
            defer { row += 1 }
            guard let state = sampling(drafts[index].id),
                let token = try? sampler.sample(
                    rows.row(row, of: logits), state, position: request.tokens.count + request.guesses.count
                ).token
            else { return true }
            requests[drafts[index].id]?.guesses.append(token)
            drafts[index].tokens.append(token)
            // Behind the end nothing is worth a guess.
            return drafts[index].tokens.count == drafts[index].limit || state.stopTokens.contains(token)
        }
        guard isDecoding else { return }
        let seconds = (ContinuousClock.now - start).seconds / Double(count)
        secondsPerGuess += (seconds - secondsPerGuess) * (secondsPerGuess == 0 ? 1 : 0.1)
    }

    /// Puts what the draft model has not computed of a request into the step, as far as there is room.
    ///
    /// - Returns: whether it is part of the step.
    private func schedule(_ id: RequestID) -> Bool {
        guard let request = requests[id] else { return false }
        let start = request.computedCount
        let known = request.tokens.count + request.guesses.count
        let count = min(known - start, limits.tokens - input.tokenCount)
        let tableRows = table.rows(request.slot)
        guard count > 0, known < contextLength, cache.allocate(start..<start + count, in: tableRows) else {
            return false
        }
        requests[id]?.computedCount += count
        request.withTokens(start..<start + count) { tokens in
            input.append(
                query: tokens, computed: start, table: tableRows, sampledTail: start + count == known ? 1 : 0)
        }
        return true
    }

    /// Rows that are in use, for tests.
    package var usedRowCount: Int { cache.usedCount }
    package var cacheViolations: [String] { cache.checkInvariants() }
}

/// The draft model's logits, as wide as the target's.
private struct DraftRows: ~Copyable {
    private let width: Int
    /// A row of the target's width, what the draft model lacks being impossible; nil where both are equally wide.
    private let padded: UnsafeMutableBufferPointer<Float>?

    init(width: Int, targetWidth: Int) {
        self.width = width
        padded = width == targetWidth ? nil : .allocate(capacity: targetWidth)
        padded?.initialize(repeating: -.infinity)
    }

    deinit { padded?.deallocate() }

    func row(_ index: Int, of logits: UnsafeBufferPointer<Float>) -> UnsafeBufferPointer<Float> {
        let row = UnsafeBufferPointer(rebasing: logits[index * width..<(index + 1) * width])
        guard let padded else { return row }
        for token in 0..<min(width, padded.count) { padded[token] = row[token] }
        return UnsafeBufferPointer(padded)
    }
}
