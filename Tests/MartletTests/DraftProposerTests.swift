import MartletGraph
import TestSupport
import Testing

@testable import Martlet

@Suite struct NGramProposerTests {
    static let id = RequestID(1)
    static let state = SamplingState(.init(), prompt: [1], stopTokens: [], seed: 1)

    static func draft(_ proposer: some DraftProposer, price: DraftPrice = .free, limit: Int = 4) -> [Int32] {
        var drafts = [Draft(id: id, limit: limit)]
        proposer.propose(&drafts, price: price) { _ in state }
        return drafts[0].tokens
    }

    static func price(_ probability: Double) -> DraftPrice { DraftPrice(verification: probability, answerToken: 1) }

    @Test func repeatsWhatCameBefore() {
        let proposer = NGramProposer()
        proposer.begin(Self.id, tokens: [1, 2, 3, 4, 5, 1, 2])
        #expect(Self.draft(proposer) == [3, 4, 5, 1])
        proposer.append(9, to: Self.id)
        #expect(Self.draft(proposer) == [])
        proposer.end(Self.id)
        #expect(Self.draft(proposer) == [])
    }

    /// Where guesses come true it goes on to guess; where they don't it stops, and begins again when they would have.
    @Test func guessesAsLongAsTheyPay() {
        var generator = TestGenerator(seed: 3)
        let proposer = NGramProposer()
        proposer.begin(Self.id, tokens: [1])
        func lengths(_ count: Int, _ next: () -> Int32) -> [Int] {
            (0..<count).map { _ in
                proposer.append(next(), to: Self.id)
                return Self.draft(proposer, price: Self.price(0.3), limit: 8).count
            }
        }
        // Few different tokens in random order: matches everywhere, and none means anything.
        let random = lengths(400) { Int32(generator.below(6)) }
        #expect(random.suffix(200).reduce(0, +) < 60)
        // A period of ten.
        var phase = 0
        let periodic = lengths(200) {
            phase += 1
            return Int32(10 + phase % 10)
        }
        #expect(periodic.suffix(100).allSatisfy { $0 == 8 })
        let randomAgain = lengths(400) { Int32(generator.below(6)) }
        #expect(randomAgain.suffix(200).reduce(0, +) < 60)
    }

    /// What one request showed is what the next one expects.
    @Test func experienceIsShared() {
        let proposer = NGramProposer()
        proposer.begin(Self.id, tokens: [])
        var generator = TestGenerator(seed: 3)
        for _ in 0..<1000 { proposer.append(Int32(generator.below(4)), to: Self.id) }
        proposer.end(Self.id)
        proposer.begin(Self.id, tokens: [1, 2, 3, 4, 5, 1, 2, 3])
        #expect(Self.draft(proposer, price: Self.price(0.5)) == [])
        #expect(Self.draft(proposer) != [])
    }
}

@Suite struct StepCostTests {
    @Test func findsTheLine() throws {
        var cost = StepCost()
        #expect(cost.price == nil)
        var generator = TestGenerator(seed: 1)
        for _ in 0..<200 {
            let tokens = 1 + generator.below(8)
            cost.record(tokens: tokens, answerTokens: 1, seconds: 0.010 + 0.002 * Double(tokens))
        }
        let price = try #require(cost.price)
        #expect(abs(price.verification - 0.002) < 1e-4)
        #expect(abs(price.answerToken - 0.019) < 2e-3)
    }

    /// Where all steps are alike the slope is a guess, and a single other step corrects it.
    @Test func learnsFromFewSteps() throws {
        var cost = StepCost()
        for _ in 0..<100 { cost.record(tokens: 1, answerTokens: 1, seconds: 0.01) }
        #expect(abs(try #require(cost.price).leastProbability() - 0.25) < 0.01)
        cost.record(tokens: 5, answerTokens: 1, seconds: 0.012)
        #expect(try #require(cost.price).leastProbability() < 0.1)
    }

    /// A step during which something else ran does not count for what it took.
    @Test func disturbancesAreCut() throws {
        var cost = StepCost()
        for index in 0..<100 { cost.record(tokens: 1 + index % 2, answerTokens: 1, seconds: 0.01) }
        cost.record(tokens: 2, answerTokens: 1, seconds: 5)
        #expect(try #require(cost.price).answerToken < 0.011)
    }
}

@Suite struct DraftModelProposerTests {
    static let id = RequestID(1)

    /// A proposer whose draft model is the fake one, and what that says to a context.
    static func proposer(_ model: FakeModel, targetVocabulary: Int = FakeModel.vocabularySize) -> DraftModelProposer {
        DraftModelProposer(
            limits: model.limits, rowCount: model.rowCount, contextLength: 200,
            vocabularySize: FakeModel.vocabularySize, targetVocabularySize: targetVocabulary, compute: model.run)
    }

    static func state(_ temperature: Float) -> SamplingState {
        var parameters = SamplingParameters()
        parameters.temperature = temperature
        return SamplingState(parameters, prompt: [1], stopTokens: [], seed: 5)
    }

    /// Drafts are what the draft model would say by itself with the request's random numbers, whatever was accepted
    /// before, and no row is lost.
    @Test(arguments: 0..<20 as Range<UInt64>) func draftsAreTheDraftModelsAnswer(seed: UInt64) throws {
        var generator = TestGenerator(seed: seed)
        let model = FakeModel(rowCount: 150, tokens: 1 + generator.below(30))
        let proposer = Self.proposer(model)
        let state = Self.state(seed % 2 == 0 ? 0 : 0.8)
        let sampler = Sampler(vocabularySize: FakeModel.vocabularySize)
        var tokens = (0..<1 + generator.below(40)).map { _ in Int32(1 + generator.below(60)) }
        proposer.begin(Self.id, tokens: tokens)
        var drafted = 0
        while tokens.count < 120 {
            let limit = 1 + generator.below(5)
            var drafts = [Draft(id: Self.id, limit: limit)]
            proposer.propose(&drafts, price: .free) { _ in state }
            drafted += drafts[0].tokens.count
            var context = tokens
            for guess in drafts[0].tokens {
                var logits = Array(repeating: Float(0), count: FakeModel.vocabularySize)
                logits.withUnsafeMutableBufferPointer { FakeModel.fill($0, context) }
                let expected = try logits.withUnsafeBufferPointer {
                    try sampler.sample($0, state, position: context.count).token
                }
                #expect(guess == expected)
                context.append(guess)
            }
            // Some are accepted, then another token comes.
            let accepted = generator.below(drafts[0].tokens.count + 1)
            for token in drafts[0].tokens.prefix(accepted) + [Int32(1 + generator.below(60))] {
                proposer.append(token, to: Self.id)
                tokens.append(token)
            }
            #expect(proposer.cacheViolations == [])
            #expect(proposer.usedRowCount <= tokens.count + limit)
        }
        #expect(drafted > 20)
        #expect(model.faults == [])
        proposer.end(Self.id)
        #expect(proposer.usedRowCount == 0)
    }

    /// More requests, tokens and rows than there is room for: fewer guesses, and no fault.
    @Test func whatDoesNotFitIsNotGuessed() {
        let model = FakeModel(rowCount: 64, tokens: 16, requests: 2)
        let proposer = Self.proposer(model)
        for id in 0..<4 as Range<UInt64> {
            proposer.begin(RequestID(id), tokens: Array(repeating: 3, count: 10 + 30 * Int(id)))
        }
        for _ in 0..<20 {
            var drafts = (0..<4 as Range<UInt64>).map { Draft(id: RequestID($0), limit: 3) }
            proposer.propose(&drafts, price: .free) { _ in Self.state(0) }
            #expect(drafts[2].tokens.isEmpty && drafts[3].tokens.isEmpty, "there are two slots")
            for id in 0..<4 as Range<UInt64> { proposer.append(1, to: RequestID(id)) }
        }
        for id in 0..<4 as Range<UInt64> { proposer.end(RequestID(id)) }
        #expect(model.faults == [])
        #expect(proposer.usedRowCount == 0)
    }

    /// Guesses that never come true become rare; when they would come true again they come back.
    @Test func wrongGuessesBecomeRare() {
        let model = FakeModel(rowCount: 4000)
        let proposer = DraftModelProposer(
            limits: model.limits, rowCount: 4000, contextLength: 4000, vocabularySize: FakeModel.vocabularySize,
            targetVocabularySize: FakeModel.vocabularySize, compute: model.run)
        proposer.begin(Self.id, tokens: [1])
        func guesses(_ steps: Int, accepting: Bool) -> Int {
            var count = 0
            for _ in 0..<steps {
                var drafts = [Draft(id: Self.id, limit: 4)]
                // What drawing takes is next to nothing at this price.
                let price = DraftPrice(verification: 3000, answerToken: 10_000)
                proposer.propose(&drafts, price: price) { _ in Self.state(0) }
                count += drafts[0].tokens.count
                for token in accepting ? drafts[0].tokens : [] { proposer.append(token, to: Self.id) }
                proposer.append(62, to: Self.id)
            }
            return count
        }
        _ = guesses(50, accepting: false)
        #expect(guesses(1000, accepting: false) < 12)
        _ = guesses(600, accepting: true)
        #expect(guesses(100, accepting: true) > 300)
    }

    /// A draft model with other padding: no guess is outside of the target's vocabulary.
    @Test(arguments: [20, 64, 100]) func widthsMayDiffer(target: Int) {
        let model = FakeModel(rowCount: 200)
        let proposer = Self.proposer(model, targetVocabulary: target)
        proposer.begin(Self.id, tokens: [1, 2, 3])
        var count = 0
        for _ in 0..<30 {
            let draft = NGramProposerTests.draft(proposer)
            count += draft.count
            #expect(draft.allSatisfy { $0 < min(target, FakeModel.vocabularySize) })
            proposer.append(1, to: Self.id)
        }
        #expect(count == 120)
        #expect(model.faults == [])
    }
}
