import Foundation
import Martlet
import MartletCheckpoints
import MartletGraph
import MartletModels
import TestSupport
import Testing

/// `--quantization`: weights that are rounded when a model is loaded.
@Suite struct WeightRoundingTests {
    /// Widths that fill no group of 32, embeddings tied and not, biases, experts.
    static let models = ReferenceModel.own

    /// A group's values are off by half a step at most: 1/254 of its largest magnitude, or 1/30 of its range; f16 factors add
    /// a thousandth of that magnitude.
    @Test(arguments: models, WeightRounding.allCases)
    func weightsAreTheNearest(model: ReferenceModel, rounding: WeightRounding) throws {
        let checkpoint = try Checkpoint(path: model.path)
        let width = checkpoint.configuration.hiddenSize
        let (exact, rounded) = (Weights(checkpoint), Weights(checkpoint, rounding: rounding))
        for (name, bits) in [("model.embed_tokens", 8), ("model.layers.0.self_attn.k_proj", rounding == .int8 ? 8 : 4)]
        {
            let stored = try checkpoint.tensor(name + ".weight")
            let rows = stored.shape[0]
            let expected = try exact.linear(name, rows: rows, columns: width).dequantizedRows(rows)
            let weight = try rounded.linear(name, rows: rows, columns: width)
            let values = weight.dequantizedRows(rows)
            for row in 0..<rows {
                for start in stride(from: row * width, to: (row + 1) * width, by: 32) {
                    let group = start..<min(start + 32, (row + 1) * width)
                    let (low, high) = (expected[group].min() ?? 0, expected[group].max() ?? 0)
                    let largest = max(abs(low), abs(high))
                    let step = bits == 8 ? largest / 127 : (high - low) / 15
                    // Least squares may give up the outermost values for the others.
                    let bound = (bits == 8 ? 0.5 : 1.1) * step + 1e-3 * largest
                    let worst = group.map { abs(values[$0] - expected[$0]) }.max() ?? .infinity
                    #expect(worst <= bound, "\(name) row \(row): \(worst) of \(bound)")
                }
            }
            #expect(values != expected, "something was rounded")
            #expect(try QuantizedModelTests.packedRows(weight, rows) == values)
        }
    }

    @Test(arguments: models)
    func logitsStayNear(model: ReferenceModel) throws {
        let checkpoint = try Checkpoint(path: model.path)
        let test = try #require(try model.cases().last)
        let deviation = ReferenceModel.standardDeviation(test.logits)
        var errors: [Float] = []
        for quantization in [LoadOptions.Quantization.int8, .int4] {
            let compiled = try ReferenceModel.compiled(checkpoint, tokens: test.ids.count) {
                $0.quantization = quantization
                $0.compute = .int16
            }
            let logits = ReferenceModel.logits(compiled, test.ids)
            for chunk in [1, 7] { #expect(ReferenceModel.logits(compiled, test.ids, chunk: chunk) == logits) }
            let squares = zip(logits, test.logits).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            errors.append((squares / Float(logits.count)).squareRoot() / deviation)
        }
        // Random models have no structure that survives rounding; real ones lose less. A model that read the wrong codes
        // would be off by more than the deviation.
        #expect(errors[0] > 0 && errors[0] < 0.05 && errors[1] > errors[0] && errors[1] < 0.5, "\(errors)")
    }
}
