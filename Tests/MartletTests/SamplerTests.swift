import Foundation
import Martlet
import TestSupport
import Testing

@Suite struct SamplerTests {
    static func logits(_ count: Int, seed: UInt64, spread: Double = 4) -> [Float] {
        var generator = TestGenerator(seed: seed)
        return (0..<count).map { _ in
            // Box-Muller.
            let radius = (-2 * log(1 - generator.uniform())).squareRoot()
            return Float(spread * radius * cos(2 * .pi * generator.uniform()))
        }
    }

    static func state(_ reference: ReferenceSampler, seed: UInt64 = 1) -> SamplingState {
        var state = SamplingState(
            reference.parameters, prompt: reference.prompt, stopTokens: reference.stopTokens,
            badWords: reference.badWords, seed: seed)
        for token in reference.generated { state.record(token) }
        return state
    }

    static func sample(_ logits: [Float], _ reference: ReferenceSampler, seed: UInt64 = 1, position: Int = 0) throws
        -> SampledToken
    {
        let sampler = Sampler(vocabularySize: logits.count)
        let state = state(reference, seed: seed)
        return try logits.withUnsafeBufferPointer { try sampler.sample($0, state, position: position) }
    }

    // MARK: Greedy

    @Test(arguments: [1, 7, 64, 65, 128, 1000, 49_152])
    func greedyTakesTheFirstOfTheLargest(count: Int) throws {
        var reference = ReferenceSampler()
        reference.parameters.temperature = 0
        for seed in 0..<3 as Range<UInt64> {
            var logits = Self.logits(count, seed: seed)
            let peak = logits.max() ?? 0
            var generator = TestGenerator(seed: seed)
            for _ in 0..<3 { logits[generator.below(count)] = peak }
            #expect(try Self.sample(logits, reference).token == Int32(logits.firstIndex(of: peak) ?? -1))
        }
        #expect(try Self.sample(Array(repeating: -3, count: count), reference).token == 0)
    }

    // MARK: Distributions

    static let cases: [(String, @Sendable (inout ReferenceSampler) -> Void)] = [
        ("plain", { _ in }),
        ("temperature", { $0.parameters.temperature = 0.6 }),
        ("hot", { $0.parameters.temperature = 3 }),
        ("top-k 1", { $0.parameters.topK = 1 }),
        ("top-k 5", { $0.parameters.topK = 5 }),
        ("top-k beyond the number of blocks", { $0.parameters.topK = 40 }),
        ("top-k beyond the vocabulary", { $0.parameters.topK = 10_000 }),
        ("top-p", { $0.parameters.topP = 0.9 }),
        ("tiny top-p", { $0.parameters.topP = 1e-6 }),
        ("min-p", { $0.parameters.minP = 0.05 }),
        ("min-p 1", { $0.parameters.minP = 1 }),
        ("top-k and top-p", { ($0.parameters.topK, $0.parameters.topP) = (20, 0.8) }),
        ("typical-p", { $0.parameters.typicalP = 0.7 }),
        ("tiny typical-p", { $0.parameters.typicalP = 1e-6 }),
        ("top-p and typical-p", { ($0.parameters.topP, $0.parameters.typicalP) = (0.9, 0.5) }),
        ("XTC", { ($0.parameters.xtcProbability, $0.parameters.xtcThreshold) = (1, 0.02) }),
        ("XTC without top choices", { ($0.parameters.xtcProbability, $0.parameters.xtcThreshold) = (1, 0.9) }),
        (
            "XTC of all that is allowed",
            {
                ($0.parameters.xtcProbability, $0.parameters.xtcThreshold) = (1, 0)
                $0.parameters.allowedTokenIDs = [3, 5, 64, 180]
            }
        ),
        ("allowed tokens", { $0.parameters.allowedTokenIDs = [3, 5, 64, 180, 5] }),
        (
            "bad words",
            {
                $0.badWords = [[4], [7, 9, 11], [9, 70], [8, 71], [1, 2, 3, 4, 5]]
                $0.prompt = [8]
                $0.generated = [7, 9]
            }
        ),
        (
            "everything",
            {
                ($0.parameters.topK, $0.parameters.topP, $0.parameters.minP) = (30, 0.9, 0.01)
                $0.parameters.temperature = 1.3
                $0.parameters.repetitionPenalty = 1.2
                $0.parameters.presencePenalty = 0.5
                $0.parameters.frequencyPenalty = 0.3
                $0.parameters.logitBias = [3: 5, 100: -100, 150: 2]
                $0.parameters.typicalP = 0.95
                $0.parameters.allowedTokenIDs = Array(2..<190)
                $0.badWords = [[40, 5, 6]]
                $0.prompt = [1, 2, 3, 2, 17]
                $0.generated = [3, 40, 40, 40, 5]
            }
        ),
        (
            "minTokens",
            {
                $0.parameters.minTokens = 2
                $0.stopTokens = [0, 7]
                $0.generated = [9]
            }
        ),
    ]

    /// Draws 4 000 tokens and compares their frequencies with the reference's probabilities.
    ///
    /// No token outside the reference's set is ever drawn, and the frequencies pass a chi-squared test at five standard
    /// deviations of that statistic (the draws are the same in every run: this can't fail by chance).
    @Test(arguments: cases.indices) func frequenciesFollowTheReference(index: Int) throws {
        var reference = ReferenceSampler()
        Self.cases[index].1(&reference)
        // 200 logits: 3 whole blocks and a tail.
        let logits = Self.logits(200, seed: 42, spread: 2)
        let expected = reference.probabilities(logits)
        let draws = 4_000
        let sampler = Sampler(vocabularySize: logits.count)
        let state = Self.state(reference, seed: 99)
        var counts = Array(repeating: 0, count: logits.count)
        try logits.withUnsafeBufferPointer { logits in
            for position in 0..<draws {
                counts[Int(try sampler.sample(logits, state, position: position).token)] += 1
            }
        }
        var statistic = 0.0
        var rare = (expected: 0.0, counted: 0.0)
        var degrees = -1.0
        for token in logits.indices {
            if expected[token] == 0 { #expect(counts[token] == 0, "token \(token) of \(Self.cases[index].0)") }
            let mean = expected[token] * Double(draws)
            guard mean >= 5 else {
                rare.expected += mean
                rare.counted += Double(counts[token])
                continue
            }
            statistic += (Double(counts[token]) - mean) * (Double(counts[token]) - mean) / mean
            degrees += 1
        }
        if rare.expected >= 5 {
            statistic += (rare.counted - rare.expected) * (rare.counted - rare.expected) / rare.expected
            degrees += 1
        }
        #expect(statistic <= degrees + 5 * (2 * max(degrees, 1)).squareRoot(), "\(Self.cases[index].0)")
    }

    /// On real vocabulary sizes: the drawn token is the one at which the reference's cumulative probability, in the order
    /// of ids, exceeds the uniform number of that position. The single-precision weights (2e-7) may move that border, so
    /// the number has to lie within 1e-5 of the token's interval.
    @Test(arguments: cases.indices, [1, 64, 1000, 20_000])
    func drawsAreTheInverseOfTheCumulativeDistribution(index: Int, count: Int) throws {
        var reference = ReferenceSampler()
        Self.cases[index].1(&reference)
        let namesTokens = reference.parameters.allowedTokenIDs != nil || !reference.prompt.isEmpty
        guard count >= 200 || !(namesTokens || !reference.stopTokens.isEmpty) else { return }
        let logits = Self.logits(count, seed: 7, spread: 3)
        let expected = reference.probabilities(logits)
        var below = [0.0]
        for probability in expected { below.append(below[below.count - 1] + probability) }
        let sampler = Sampler(vocabularySize: count)
        let state = Self.state(reference, seed: 5)
        for position in 0..<20 {
            let uniform = Philox.uniform(seed: 5, position: UInt64(position))
            let token = try logits.withUnsafeBufferPointer {
                Int(try sampler.sample($0, state, position: position).token)
            }
            #expect(uniform > below[token] - 1e-5 && uniform < below[token + 1] + 1e-5)
            #expect(expected[token] > 0)
        }
    }

    @Test func equalLogitsAreKeptByTheLowestIds() throws {
        var reference = ReferenceSampler()
        reference.parameters.topK = 3
        let logits = (0..<300).map { Float($0 % 2) }
        var drawn: Set<Int32> = []
        for position in 0..<200 { drawn.insert(try Self.sample(logits, reference, position: position).token) }
        #expect(drawn == [1, 3, 5])
        reference.parameters.topK = 0
        reference.parameters.topP = 0.5
        let flat = Array(repeating: Float(0), count: 300)
        drawn = []
        for position in 0..<2000 { drawn.insert(try Self.sample(flat, reference, position: position).token) }
        #expect(drawn == Set(0..<150))
    }

    /// On flat logits with two of three tokens excluded: XTC acts in half of the draws, and independently of the draw.
    @Test func xtcActsAsOftenAsItIsAsked() throws {
        var reference = ReferenceSampler()
        reference.parameters.xtcProbability = 0.5
        reference.parameters.xtcThreshold = 0.3
        var counts = [0, 0, 0]
        for position in 0..<6_000 { counts[Int(try Self.sample([0, 0, 0], reference, position: position).token)] += 1 }
        // 1/6, 1/6 and 2/3 of 6,000 draws; five standard deviations are 183.
        #expect(abs(counts[0] - 1_000) < 183 && abs(counts[1] - 1_000) < 183 && abs(counts[2] - 4_000) < 183)
    }

    @Test(arguments: 0..<20 as Range<UInt64>) func aBadWordNeverComes(seed: UInt64) throws {
        var generator = TestGenerator(seed: seed)
        let words = (0..<5).map { _ in (0...generator.below(4)).map { _ in Int32(generator.below(4)) } }
        var reference = ReferenceSampler()
        reference.badWords = words.filter { $0.count > 1 }
        guard !reference.badWords.isEmpty else { return }
        let sampler = Sampler(vocabularySize: 6)
        var state = Self.state(reference)
        for position in 0..<200 {
            let logits = Self.logits(6, seed: seed * 1000 + UInt64(position), spread: 0.5)
            let token = try logits.withUnsafeBufferPointer { try sampler.sample($0, state, position: position).token }
            // Exactly the reference's choice: its mask is a comparison of whole suffixes.
            let below = reference.probabilities(logits)
            #expect(below[Int(token)] > 0)
            state.record(token)
            reference.generated.append(token)
            for word in reference.badWords { #expect(reference.generated.suffix(word.count) != word[...]) }
        }
    }

    // MARK: Penalties

    @Test(arguments: 0..<20 as Range<UInt64>) func penalizedGreedyFollowsTheReference(seed: UInt64) throws {
        var generator = TestGenerator(seed: seed)
        var reference = ReferenceSampler()
        reference.parameters.temperature = 0
        reference.parameters.repetitionPenalty = Float(0.5 + generator.uniform() * 1.5)
        reference.parameters.presencePenalty = Float(generator.uniform() * 4 - 2)
        reference.parameters.frequencyPenalty = Float(generator.uniform() * 4 - 2)
        reference.prompt = (0..<30).map { _ in Int32(generator.below(100)) }
        // Token by token, as an answer grows: counts are kept incrementally.
        let sampler = Sampler(vocabularySize: 100)
        var state = Self.state(reference)
        for step in 0..<50 {
            let logits = Self.logits(100, seed: seed * 1000 + UInt64(step), spread: 2)
            let expected = reference.adjusted(logits)
            let token = try logits.withUnsafeBufferPointer { try sampler.sample($0, state, position: step).token }
            // Single precision may choose another of two tokens that are equal to 1e-5.
            #expect(expected[Int(token)] >= (expected.max() ?? 0) - 1e-5)
            state.record(token)
            reference.generated.append(token)
        }
    }

    // MARK: Log-probabilities

    @Test(arguments: [nil, 0, 1, 5, 20] as [Int?], [30, 49_152])
    func logprobsAreTheModelsOwn(alternatives: Int?, count: Int) throws {
        var reference = ReferenceSampler()
        reference.parameters.logprobs = alternatives
        reference.parameters.temperature = 0.5
        reference.parameters.logitBias = [3: 20]
        let logits = Self.logits(count, seed: 3)
        let expected = ReferenceSampler.softmax(logits.map { Double($0) }).map { log($0) }
        let result = try Self.sample(logits, reference)
        guard let alternatives else {
            #expect(result.logprobs == nil)
            return
        }
        let logprobs = try #require(result.logprobs)
        // Logits up to 20 in single precision, whose steps there are 2e-6.
        #expect(abs(Double(logprobs.chosen) - expected[Int(result.token)]) < 5e-6)
        let order = logits.indices.sorted { logits[$0] > logits[$1] }
        #expect(logprobs.top.map { Int($0.token) } == Array(order.prefix(alternatives)))
        for alternative in logprobs.top {
            #expect(abs(Double(alternative.logprob) - expected[Int(alternative.token)]) < 5e-6)
        }
    }

    // MARK: Determinism

    @Test func aDrawDependsOnSeedAndPositionOnly() throws {
        let logits = Self.logits(5000, seed: 1, spread: 1)
        let reference = ReferenceSampler()
        let shared = Sampler(vocabularySize: logits.count)
        let state = Self.state(reference, seed: 77)
        var other = ReferenceSampler()
        other.parameters.topK = 10
        other.parameters.logprobs = 3
        let disturbance = Self.state(other, seed: 3)
        for position in 0..<100 {
            let alone = try Self.sample(logits, reference, seed: 77, position: position)
            let inBatch = try logits.withUnsafeBufferPointer { logits in
                _ = try shared.sample(logits, disturbance, position: position)
                return try shared.sample(logits, state, position: position)
            }
            #expect(alone == inBatch)
        }
        let texts = try [77, 78].map { seed in
            try (0..<20).map { try Self.sample(logits, reference, seed: seed, position: $0).token }
        }
        #expect(texts[0] != texts[1])
    }

    // MARK: Hostile logits

    @Test(arguments: [Float.nan, .infinity, -.nan], [0, 63, 64, 150])
    func brokenLogitsFailTheRequest(value: Float, place: Int) {
        var logits = Self.logits(151, seed: 1)
        logits[place] = value
        for temperature in [0, 1] as [Float] {
            var reference = ReferenceSampler()
            reference.parameters.temperature = temperature
            #expect(throws: EngineError.self) { try Self.sample(logits, reference) }
        }
    }

    @Test func extremeButValidLogitsDontTrap() throws {
        let rows: [[Float]] = [
            [.greatestFiniteMagnitude, -.greatestFiniteMagnitude, 0], [-.infinity, 1, -.infinity],
            [-.greatestFiniteMagnitude, -.greatestFiniteMagnitude, -.greatestFiniteMagnitude], [-0.0, 0, -0.0],
        ]
        for logits in rows {
            for index in Self.cases.indices {
                var reference = ReferenceSampler()
                Self.cases[index].1(&reference)
                guard reference.prompt.isEmpty, reference.stopTokens.isEmpty else { continue }
                guard reference.parameters.allowedTokenIDs == nil else { continue }
                for temperature in [0, 1e-6, 1e-4, 1, 1e38] as [Float] {
                    reference.parameters.temperature = temperature
                    let token = try Self.sample(logits, reference).token
                    #expect(logits[Int(token)] > -.infinity)
                }
            }
        }
    }

    /// A tokenizer may have them. Nothing behind the logits is written.
    @Test func tokensThatTheModelLacksAreNotMasked() throws {
        var reference = ReferenceSampler()
        reference.parameters.minTokens = 1
        reference.stopTokens = [0, 2, 1 << 30, -1]
        reference.badWords = [[3], [1 << 30]]
        for position in 0..<20 {
            #expect(try Self.sample([1, 2], reference, position: position).token == 1)
        }
    }

    @Test func everythingMaskedIsAFailure() {
        var reference = ReferenceSampler()
        reference.parameters.minTokens = 1
        reference.stopTokens = [0, 1]
        #expect(throws: EngineError.self) { try Self.sample([1, 2], reference) }
    }
}
