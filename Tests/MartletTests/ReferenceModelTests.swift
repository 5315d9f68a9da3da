import Foundation
import Martlet
import MartletCheckpoints
import MartletGraph
import TestSupport
import Testing

/// Every architecture against `transformers` in float32, from Hugging Face folders and from GGUF files.
@Suite struct ReferenceModelTests {
    /// With `--compute f32` both sides do the same operations in another order: a ten-thousandth of the logits' deviation
    /// leaves room for sums of a few hundred terms, and is a twentieth of what the fixtures' README allows.
    static let exact: Float = 1e-4

    @Test func theModelsOfThisTargetAreThere() { #expect(ReferenceModel.own.count == 6) }

    @Test(arguments: ReferenceModel.own + ReferenceModel.shared)
    func logitsAreThoseOfTheReference(model: ReferenceModel) throws {
        let checkpoint = try Checkpoint(path: model.path)
        for test in try model.cases() {
            let deviation = ReferenceModel.standardDeviation(test.logits)
            let compiled = try ReferenceModel.compiled(checkpoint, tokens: test.ids.count)
            let logits = ReferenceModel.logits(compiled, test.ids)
            let difference = ReferenceModel.largestDifference(logits, test.logits)
            #expect(difference <= Self.exact * deviation, "\(test.ids.count) tokens, deviation \(deviation)")
            for chunk in [1, 7, 64] where chunk < test.ids.count {
                #expect(ReferenceModel.logits(compiled, test.ids, chunk: chunk) == logits, "chunks of \(chunk)")
            }
        }
    }

    /// Usual arithmetic on F32 and F16 weights: activations stay float32, and only the f16 KV cache rounds, by a relative
    /// 5e-4 for each key and value. In models as narrow as these that moves a logit by up to 8e-3 of the deviation (measured).
    @Test(arguments: ReferenceModel.own + ReferenceModel.shared)
    func anF16CacheIsWithinAHundredth(model: ReferenceModel) throws {
        let checkpoint = try Checkpoint(path: model.path)
        let types = Set(try checkpoint.tensorNames.map { try checkpoint.tensor($0).type })
        guard types.isSubset(of: [.f32, .f16]) else { return }
        for test in try model.cases() {
            let deviation = ReferenceModel.standardDeviation(test.logits)
            let compiled = try ReferenceModel.compiled(checkpoint, tokens: test.ids.count) {
                $0.compute = .auto
                $0.kvType = .f16
            }
            let difference = ReferenceModel.largestDifference(ReferenceModel.logits(compiled, test.ids), test.logits)
            #expect(difference <= 1e-2 * deviation, "\(test.ids.count) tokens")
        }
    }

    /// Token by token as the engine decodes. `exact` bounds our difference, so ten times it is margin enough.
    @Test(
        .enabled(if: !ReferenceModel.shared.isEmpty, "shared/fixtures/models is absent"),
        arguments: ReferenceModel.shared)
    func greedyContinuationsAreThoseOfTheReference(model: ReferenceModel) throws {
        let checkpoint = try Checkpoint(path: model.path)
        var compared = 0
        for test in try model.cases() {
            let expected = try #require(test.greedy)
            guard test.margin > 10 * Self.exact * ReferenceModel.standardDeviation(test.logits) else { continue }
            let compiled = try ReferenceModel.compiled(checkpoint, tokens: test.ids.count + expected.count)
            let evaluator = SequenceEvaluator(compiled)
            var next = test.ids
            var continuation: [Int32] = []
            while continuation.count < expected.count {
                let logits = evaluator.step([(0, next[...])], logits: 1)
                let best = Int32(logits.indices.max { logits[$0] < logits[$1] } ?? 0)
                continuation.append(best)
                next = [best]
            }
            #expect(continuation == expected, "after \(test.ids.count) tokens")
            compared += 1
        }
        #expect(compared > 0, "no case has margin enough")
    }
}
