import Foundation
import MartletCPU
import MartletCheckpoints
import TestSupport
import Testing

@testable import MartletQuantization

/// Layers cut out of the traced model.
@Suite struct LayerTests {
    private static let backend = try? CPUBackend(threads: 2, policy: LayoutPolicy(exactFloat32: true))

    private func run(
        _ source: SourceModel, _ hidden: Matrix, layer: Int, _ parameters: LayerParameters,
        view: LayerForward.View = .all
    ) throws -> (output: LayerForward.Output, rows: Matrix) {
        let backend = try #require(Self.backend)
        let forward = try LayerForward(
            source.graph, layer: layer, parameters, view: view, length: hidden.rows, backend: backend)
        let rows = forward(UnsafeBufferPointer(hidden.floats))
        let copy = Matrix(rows: rows.rows, columns: rows.columns)
        for row in 0..<rows.rows {
            copy.row(row).update(from: rows.base + row * rows.rowStride, count: rows.columns)
        }
        return (forward.output, copy)
    }

    /// Layer by layer the model is what transformers computes: every architecture, with its biases, norms, windows and
    /// rotary scalings.
    @Test(
        .enabled(if: SharedFixtures.url("models") != nil, "needs ../shared"),
        arguments: [
            "llama3_gqa_tied", "llama_linear", "llama_mqa_bias_fp16", "llama_untied_bf16", "mistral_swa",
            "qwen2_bias_tied", "qwen2_swa", "qwen3_qknorm", "qwen3_yarn",
        ])
    func layersTogetherAreTheModel(_ name: String) throws {
        guard let folder = SharedFixtures.url("models/\(name)") else { return }
        let reference = try ReferenceTensors(folder.appending(path: "ref.safetensors"))
        let ids = try reference.integers("case3.input_ids").values.map { Int32(truncatingIfNeeded: $0) }
        let expected = try reference.floats("case3.logits").values
        let source = try SourceModel(path: folder.path, contextLength: ids.count)
        var hidden = try source.embeddings(of: ids)
        for layer in 0..<source.configuration.layerCount {
            let (output, rows) = try run(source, hidden, layer: layer, LayerParameters(source, layer: layer))
            hidden = Matrix(rows: ids.count, columns: output.hidden.count)
            for row in 0..<ids.count {
                hidden.row(row).update(from: rows.row(row), count: output.hidden.count)
            }
        }
        let head =
            try source.checkpoint.contains("lm_head.weight") && !source.configuration.tieWordEmbeddings
            ? source.checkpoint.tensor("lm_head.weight") : source.checkpoint.tensor("model.embed_tokens.weight")
        let table = head.dequantized()
        let norm = try source.checkpoint.tensor("model.norm.weight").dequantized()
        let mean = expected.reduce(0, +) / Float(expected.count)
        let deviation = (expected.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Float(expected.count)).squareRoot()
        var worst: Float = 0
        for row in 0..<ids.count {
            let values = Array(UnsafeBufferPointer(start: hidden.row(row), count: hidden.columns))
            let square = values.reduce(0) { $0 + $1 * $1 } / Float(values.count)
            let scale = 1 / (square + Float(source.configuration.rmsNormEpsilon)).squareRoot()
            for token in 0..<head.rows {
                var logit: Float = 0
                for column in 0..<values.count {
                    logit += values[column] * scale * norm[column] * table[token * values.count + column]
                }
                worst = max(worst, abs(logit - expected[row * head.rows + token]))
            }
        }
        // Both sides are float32, in other orders of summation.
        #expect(worst < 2e-3 * deviation)
    }

    @Test(arguments: ["llama", "qwen2", "qwen3"])
    func tapsShowWhatLinearLayersAreGiven(_ architecture: String) throws {
        let folder = try RandomModel(architecture: architecture).write()
        let source = try SourceModel(path: folder.path, contextLength: 8)
        let parameters = try LayerParameters(source, layer: 1)
        let hidden = try source.embeddings(of: RandomModel.text(8))
        let (output, rows) = try run(source, hidden, layer: 1, parameters)
        #expect(rows.columns == 64 + 64 + 64 + 64 + 128)
        #expect(output.inputs["model.layers.1.self_attn.q_proj"] == output.inputs["model.layers.1.self_attn.v_proj"])
        #expect(output.inputs["model.layers.1.mlp.gate_proj"] == output.inputs["model.layers.1.mlp.up_proj"])
        #expect(output.inputs.count == 7)
        // q, k and v read the normalized hidden states.
        let range = try #require(output.inputs["model.layers.1.self_attn.q_proj"])
        let norm = try #require(parameters.vectors["input_layernorm.weight"])
        for row in 0..<8 {
            let values = hidden.row(row)
            let square = (0..<64).reduce(Float(0)) { $0 + values[$1] * values[$1] } / 64
            for column in 0..<64 {
                let expected = values[column] / (square + 1e-5).squareRoot() * norm[column]
                #expect(abs(rows.row(row)[range.lowerBound + column] - expected) < 1e-4)
            }
        }
        let plain = try run(source, hidden, layer: 1, parameters, view: .output)
        #expect(plain.rows.columns == 64)
        for row in 0..<8 { for column in 0..<64 { #expect(plain.rows.row(row)[column] == rows.row(row)[column]) } }
        // One input alone: what lies behind it is not computed, and what lies before it is the same.
        for group in LayerGroup.all {
            let wanted = try #require(output.inputs["model.layers.1.\(group.linears[0])"])
            let alone = try run(source, hidden, layer: 1, parameters, view: .input(group.linears[0]))
            #expect(alone.rows.columns == wanted.count && alone.output.hidden.isEmpty)
            #expect(alone.output.inputs["model.layers.1.\(group.linears[0])"] == 0..<wanted.count)
            for row in 0..<8 {
                for column in wanted {
                    #expect(alone.rows.row(row)[column - wanted.lowerBound] == rows.row(row)[column])
                }
            }
        }
    }

    /// Folding factors into what makes an input changes the input and not the layer.
    @Test(arguments: ["llama", "qwen2", "qwen3"])
    func foldingKeepsTheLayer(_ architecture: String) throws {
        let folder = try RandomModel(architecture: architecture).write()
        let source = try SourceModel(path: folder.path, contextLength: 16)
        var parameters = try LayerParameters(source, layer: 0)
        parameters.headDim = 16
        let hidden = try source.embeddings(of: RandomModel.text(16))
        let before = try run(source, hidden, layer: 0, parameters)
        var random = TestGenerator(seed: 5)
        for group in LayerGroup.all {
            let width = try parameters.weight(group.linears[0]).columns
            var factors = (0..<width).map { _ in 0.5 + random.normal().magnitude }
            if case .rows(let linear) = group.fold {
                let rows = LayerParameters.rowsOfColumns(
                    rows: try parameters.weight(linear).rows, columns: width, head: 16)
                factors = rows.map { factors[$0] }
            }
            let applied = try parameters.fold(factors, of: group, storage: .f16)
            for (found, wanted) in zip(applied, factors) { #expect(abs(found - wanted) < 1e-3 * wanted) }
        }
        let after = try run(source, hidden, layer: 0, parameters)
        var changed = false
        for row in 0..<16 {
            for column in 0..<64 {
                let (a, b) = (before.rows.row(row)[column], after.rows.row(row)[column])
                #expect(abs(a - b) < 1e-4 * max(1, abs(a)))
                let tap = 64 + column
                changed = changed || abs(before.rows.row(row)[tap] - after.rows.row(row)[tap]) > 0.01
            }
        }
        #expect(changed)
    }
}
