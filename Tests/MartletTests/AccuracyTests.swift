import Foundation
import Martlet
import MartletGraph
import Testing

/// Logits of the real model against transformers in float32.
@Suite(.enabled(if: SmolLM2.isPresent, Comment(rawValue: SmolLM2.absence)))
struct AccuracyTests {
    struct Measured {
        /// Positions whose most likely token is the reference's.
        var agreement = 0.0
        var meanNLL = 0.0
        /// Largest margin by which the reference preferred a token that we did not choose.
        var worstMargin: Float = 0
    }

    private func measure(_ model: LoadedModel, _ reference: SmolLM2.Reference) -> Measured {
        let vocabulary = model.compiled.plan.logits.shape.width
        var result = Measured()
        var agreeing = 0
        var nll: [Double] = []
        for window in stride(from: 0, to: reference.ids.count, by: reference.window) {
            let ids = Array(reference.ids[window..<window + reference.window])
            SequenceEvaluator(model.compiled).forEachLogits(of: ids, chunk: 512) { first, count, logits in
                for index in 0..<count {
                    let row = UnsafeBufferPointer(rebasing: logits[index * vocabulary..<(index + 1) * vocabulary])
                    let position = window + first + index
                    let best = row.indices.max { row[$0] < row[$1] } ?? 0
                    if best == reference.top1[position] {
                        agreeing += 1
                    } else {
                        result.worstMargin = max(result.worstMargin, reference.margin[position])
                    }
                    guard first + index + 1 < ids.count else { continue }
                    let largest = Double(row[best])
                    let sum = row.reduce(0.0) { $0 + exp(Double($1) - largest) }
                    nll.append(largest + log(sum) - Double(row[Int(ids[first + index + 1])]))
                }
            }
        }
        result.agreement = Double(agreeing) / Double(reference.ids.count)
        result.meanNLL = nll.reduce(0, +) / Double(nll.count)
        return result
    }

    /// Tolerances: 15-bit activations and an f16 KV cache are to keep 98.5 % of the greedy choices and perplexity within
    /// 1 %; exact float32 differs from the reference only by the order of additions: 99.9 % and 0.05 %. On this many
    /// positions one flip is 0.1 %, so the exact mode may flip two.
    @Test(arguments: [
        (LoadOptions.Compute.int16, 0.985, 0.01), (.f32, 0.998, 0.0005),
    ])
    func agreesWithTransformers(_ compute: LoadOptions.Compute, agreement: Double, perplexity: Double) throws {
        let reference = try SmolLM2.Reference.load()
        let measured = measure(try SmolLM2.load { ($0.compute, $0.threads) = (compute, 2) }, reference)
        let expected = reference.nll.reduce(0, +) / Double(reference.nll.count)
        #expect(measured.agreement >= agreement)
        #expect(abs(exp(measured.meanNLL - expected) - 1) <= perplexity)
        // Where choices differ, the reference was all but undecided: the logits' standard deviation is 7.5.
        #expect(measured.worstMargin < 0.15)
    }

    /// Every instruction set computes the same model. The portable kernels are slow, so this takes few positions; the
    /// integer parts are exact everywhere, and float sums differ in rounding only.
    @Test(arguments: ["avx2", "portable"])
    func instructionSetsAgree(_ name: String) throws {
        let ids = Array(try SmolLM2.Reference.load().ids.prefix(24))
        func logits(_ instructionSet: String?) throws -> [Float] {
            let model = try SmolLM2.load { $0.instructionSet = instructionSet }
            return Array(SequenceEvaluator(model.compiled).step([(0, ids[...])], logits: 1))
        }
        guard (try? SmolLM2.load { $0.instructionSet = name }) != nil else { return }
        let (best, other) = (try logits(nil), try logits(name))
        let worst = zip(best, other).map { abs($0 - $1) }.max() ?? .infinity
        // A rounding difference can move an activation by one of 16,319 steps: 1 % of the logits' deviation is ample.
        #expect(worst < 0.075)
        #expect(best.indices.max { best[$0] < best[$1] } == other.indices.max { other[$0] < other[$1] })
    }
}
