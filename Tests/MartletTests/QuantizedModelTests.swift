import Foundation
import Martlet
import MartletCheckpoints
import MartletGraph
import MartletModels
import TestSupport
import Testing

@testable import MartletCPU

/// Quantized checkpoints of every format against references that unpack them on their own.
@Suite struct QuantizedModelTests {
    @Test func theModelsOfThisTargetAreThere() { #expect(QuantizedModel.own.count >= 12) }

    @Test(arguments: QuantizedModel.own + QuantizedModel.shared)
    func logitsAreThoseOfTheDequantizedWeights(model: QuantizedModel) throws {
        let reference = try model.reference()
        let compiled = try ReferenceModel.compiled(Checkpoint(path: model.folder.path), tokens: reference.ids.count)
        let logits = ReferenceModel.logits(compiled, reference.ids)
        let difference = ReferenceModel.largestDifference(logits, reference.logits)
        #expect(
            difference <= ReferenceModelTests.exact * ReferenceModel.standardDeviation(reference.logits),
            "\(difference)")
    }

    /// Not a bit of a weight is lost: neither when the file is read, nor in the layout that kernels read.
    @Test(arguments: QuantizedModel.own + QuantizedModel.shared)
    func weightsAreBitEqual(model: QuantizedModel) throws {
        let reference = try model.reference()
        #expect(!reference.weights.isEmpty)
        let weights = Weights(try Checkpoint(path: model.folder.path))
        for (name, expected) in reference.weights {
            let (rows, columns) = try Self.shape(of: name, weights.configuration)
            let weight = try weights.linear(name, rows: rows, columns: columns)
            let count = expected.shape[0]
            #expect(expected.shape[1] == columns && count > 0)
            for values in [weight.dequantizedRows(count), try Self.packedRows(weight, count)] {
                #expect(values.map(\.bitPattern) == expected.values.map(\.bitPattern), "\(name)")
            }
        }
    }

    /// Of what the kernels read, in the file's order of columns.
    static func packedRows(_ weight: LinearWeight, _ count: Int) throws -> [Float] {
        let policy = LayoutPolicy()
        let memory = try AlignedMemory(byteCount: policy.byteCount(weight))
        let matrix = try PackedMatrix(weight, policy: policy, memory: memory.base)
        let scratch = PackingScratch(columns: weight.columns)
        for panel in 0..<matrix.panelCount { matrix.pack(panel: panel, of: weight, scratch) }
        var values = [Float](repeating: 0, count: count * weight.columns)
        values.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            for row in 0..<count { matrix.unpackRow(row, into: base + row * weight.columns) }
        }
        return weight.inFileOrder(values)
    }

    private static func shape(of name: String, _ model: ModelConfiguration) throws -> (rows: Int, columns: Int) {
        switch name.split(separator: ".").last {
        case "q_proj": (model.headCount * model.headDim, model.hiddenSize)
        case "down_proj": (model.hiddenSize, model.intermediateSize)
        case "up_proj": (try #require(model.experts).intermediateSize, model.hiddenSize)
        default: throw UnknownLayer(name: name)
        }
    }

    private struct UnknownLayer: Error { let name: String }

    /// With 8-bit activations per group of 32, against what the checkpoint's makers compute where they say so: the fixtures'
    /// README allows a mean difference of 0.06 of the deviation for integer activations. With 15 bits differences stem
    /// from the f16 KV cache; where inputs are rounded to 8-bit floats, many of them then fall on the other side.
    @Test(arguments: QuantizedModel.own + QuantizedModel.shared)
    func integerArithmeticIsClose(model: QuantizedModel) throws {
        let reference = try model.reference()
        let checkpoint = try Checkpoint(path: model.folder.path)
        let deviation = ReferenceModel.standardDeviation(reference.logits)
        // Layers of 8-bit floats round their inputs to such, whatever the integer layers do.
        let quantization = try #require(checkpoint.configuration.quantization)
        let isFloat = quantization.schemes.contains { $0.isFloat }
        // Kernels of bf16 weights round their inputs to bf16.
        let tolerance: Float = isFloat ? 6e-2 : quantization.method == .bitsAndBytes ? 2e-2 : 5e-3
        let expected = reference.rounded ?? reference.logits
        for (compute, expected, tolerance) in [
            (LoadOptions.Compute.int16, isFloat ? expected : reference.logits, tolerance),
            (.int8, expected, 6e-2), (.auto, expected, 6e-2),
        ] {
            let compiled = try ReferenceModel.compiled(checkpoint, tokens: reference.ids.count) {
                $0.compute = compute
                $0.kvType = .f16
            }
            let logits = ReferenceModel.logits(compiled, reference.ids)
            let mean = zip(logits, expected).reduce(0) { $0 + abs($1.0 - $1.1) } / Float(expected.count)
            #expect(mean <= tolerance * deviation, "\(compute): \(mean / deviation) of the deviation")
        }
    }

    @Test(arguments: QuantizedModel.own)
    func bitsDontDependOnChunksThreadsOrFusions(model: QuantizedModel) throws {
        let ids = try model.reference().ids
        let checkpoint = try Checkpoint(path: model.folder.path)
        for compute in [LoadOptions.Compute.int16, .int8, .f32] {
            func logits(threads: Int, fusions: [Fusion] = Fusion.all, chunk: Int) throws -> [Float] {
                let compiled = try ReferenceModel.compiled(checkpoint, tokens: ids.count) {
                    ($0.compute, $0.threads, $0.fusions) = (compute, threads, fusions)
                }
                return ReferenceModel.logits(compiled, ids, chunk: chunk)
            }
            let expected = try logits(threads: 1, chunk: 64)
            for chunk in [1, 7] { #expect(try logits(threads: 2, chunk: chunk) == expected, "chunks of \(chunk)") }
            #expect(try logits(threads: 2, fusions: [], chunk: 64) == expected, "no fusion")
        }
    }

    /// Gate and up of a layer whose down projection has activation order give their columns in its order, and layers that
    /// share their input share its order, which norms write: only the attention's output is moved.
    @Test func activationOrderMovesFewColumns() throws {
        let model = try #require(QuantizedModel.own.first { $0.testDescription == "gptq-act-order" })
        let plan = try ReferenceModel.compiled(Checkpoint(path: model.folder.path), tokens: 8).plan
        #expect(plan.calls.filter { $0.op.name == "reorder" }.count == 1)
        #expect(plan.calls.contains { $0.op.name == "linear+swiGLU" })
    }
}
