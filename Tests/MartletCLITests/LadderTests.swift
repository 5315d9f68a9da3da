import Testing

@testable import MartletCLI

@Suite struct LadderTests {
    private func agreement(_ logits: [Float], _ reference: [Float]) -> Agreement {
        var agreement = Agreement()
        logits.withUnsafeBufferPointer { agreement.add($0, reference: reference) }
        return agreement
    }

    @Test func differencesAreInDeviationsOfTheReference() {
        // Mean 1, deviation 1.
        #expect(agreement([0, 2], [0, 2]) == Agreement(difference: 0, rows: 1, sameChoices: 1))
        #expect(agreement([0, 2.5], [0, 2]) == Agreement(difference: 0.5, rows: 1, sameChoices: 1))
        #expect(agreement([3, 2], [0, 2]) == Agreement(difference: 3, rows: 1, sameChoices: 0))
    }

    @Test(arguments: [[Float.nan, 2], [0, .infinity], [.nan, .nan]])
    func whatIsNotANumberNeverAgrees(logits: [Float]) {
        #expect(agreement(logits, [0, 2]).difference == .infinity)
        #expect(agreement([0, 2], logits).difference == .infinity)
    }

    @Test func aStepThatComputesSomethingElseFails() throws {
        try Agreement(difference: 0.5).check(0.5, step: "a step")
        #expect(throws: CommandFailure.self) { try Agreement(difference: 0.501).check(0.5, step: "a step") }
        #expect(throws: CommandFailure.self) { try Agreement(difference: .infinity).check(0.5, step: "a step") }
        #expect(throws: CommandFailure.self) { try Agreement(difference: 1e-30).check(0, step: "a step") }
    }

    @Test func medians() {
        #expect(LadderResult.median([3, 1, 2]) == 2)
        #expect(LadderResult.median([4, 1, 2, 3]) == 2.5)
        #expect(LadderResult.median([]) == 0)
    }

    @Test func factorsAreOverTheRowBeforeAndTheFirst() {
        let speed = LadderResult.Speed([6, 8, 7], before: 14, first: 3.5)
        #expect(speed.tokensPerSecond == 7 && speed.overBefore == 0.5 && speed.overFirst == 2)
        #expect(LadderResult.Speed([5], before: nil, first: nil).overFirst == 1)
    }
}
