import Foundation
import MartletCPU
import MartletCheckpoints
import TestSupport
import Testing

@testable import MartletQuantization

@Suite struct QuantizerTests {
    private struct Stop: Error {}

    private func settings(
        _ method: QuantizationSettings.Method, bits: Int? = nil, group: Int? = 32
    ) throws -> QuantizationSettings {
        var settings = try QuantizationSettings(
            method, bits: bits, groupSize: bits == 8 || method == .smoothquant ? -1 : group)
        // So that weights can be compared with the source's: with few tokens there is much to make up for.
        settings.correction = 0
        return settings
    }

    private func quantizer(
        _ source: TemporaryFolder, _ destination: String, _ settings: QuantizationSettings,
        text: [Int32] = RandomModel.text(400), samples: Int? = nil, length: Int = 32
    ) throws -> Quantizer {
        try Quantizer(
            source: source.path, destination: destination, settings: settings,
            calibration: CalibrationText(text, samples: samples, length: length), threads: 2)
    }

    private func tensors(_ folder: String) throws -> [String: TensorDescriptor] {
        let index = folder + "/model.safetensors.index.json"
        var names = ["model.safetensors"]
        if FileManager.default.fileExists(atPath: index) {
            let json = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: index))) as? [String: Any]
            names = Set(try #require(json?["weight_map"] as? [String: String]).values).sorted()
        }
        let list = try names.flatMap { try Safetensors(path: folder + "/" + $0).tensors }
        return Dictionary(uniqueKeysWithValues: list.map { ($0.name, $0) })
    }

    @Test(arguments: [
        ("llama", QuantizationSettings.Method.rtn, 4), ("mistral", .rtn, 8), ("qwen2", .awq, 4), ("qwen3", .gptq, 4),
        ("llama", .gptq, 8), ("qwen2", .smoothquant, 8),
    ])
    func wholeFolders(_ architecture: String, _ method: QuantizationSettings.Method, _ bits: Int) throws {
        let source = try RandomModel(architecture: architecture).write()
        let place = try TemporaryFolder()
        let destination = place.path + "/quantized"
        var notes: [String] = []
        let settings = try settings(method, bits: bits)
        let summary = try quantizer(source, destination, settings).run { notes.append("\($1) \($0)") }
        #expect(summary.layers == 2 && summary.reusedLayers == 0)
        #expect(try #require(summary.relativeError) < (bits == 8 ? 1e-3 : 0.05))
        #expect(notes.count > 2)
        #expect(try FileManager.default.contentsOfDirectory(atPath: place.path) == ["quantized"])

        let found = try tensors(destination)
        let suffix = ["rtn": "weight_packed", "awq": "qweight", "gptq": "qweight", "smoothquant": "weight_scale"]
        for layer in 0..<2 {
            for linear in LayerGroup.linears {
                #expect(found["model.layers.\(layer).\(linear).\(suffix[method.rawValue] ?? "")"] != nil)
            }
            if architecture == "qwen2" { #expect(found["model.layers.\(layer).self_attn.q_proj.bias"] != nil) }
        }
        #expect(found["lm_head.weight"]?.type == .f16 && found["model.embed_tokens.weight"]?.type == .f16)
        let config =
            try JSONSerialization.jsonObject(
                with: Data(contentsOf: URL(filePath: destination + "/config.json"))) as? [String: Any]
        #expect(config?["torch_dtype"] as? String == "float16")
        #expect(config?["rms_norm_eps"] as? Double == 1e-5)
        #expect(config?["quantization_config"] is [String: Any])
        #expect(FileManager.default.fileExists(atPath: destination + "/tokenizer_config.json"))
    }

    /// A scale beyond the largest half would be stored as infinity.
    @Test func aScaleThatIsTooLargeIsAnError() throws {
        var model = RandomModel()
        let name = "model.layers.1.mlp.up_proj"
        var weights = [Float](repeating: 0.5, count: 128 * 64)
        weights[100] = 1e6
        model.weights.remove(name + ".weight")
        model.weights.add(name + ".weight", [128, 64], weights)
        let source = try model.write()
        let place = try TemporaryFolder()
        let quantizer = try quantizer(source, place.path + "/quantized", settings(.rtn))
        let error = #expect(throws: QuantizationError.self) { try quantizer.run { _, _ in } }
        #expect(error?.description == "\(name) has weights whose scale is too large for F16")
    }

    /// AWQ's codes may be the nearest ones, or make up for each other's errors: other codes, in the same tensors.
    @Test func roundingOfAWQ() throws {
        let source = try RandomModel().write()
        let place = try TemporaryFolder()
        var files: [Data] = []
        for rounding in QuantizationSettings.Rounding.allCases {
            var settings = try settings(.awq)
            settings.rounding = rounding
            let destination = "\(place.path)/\(rounding.rawValue)"
            let summary = try quantizer(source, destination, settings).run { _, _ in }
            #expect(try #require(summary.relativeError) < 0.05)
            files.append(try Data(contentsOf: URL(filePath: destination + "/model.safetensors")))
        }
        #expect(files[0] != files[1] && files[0].count == files[1].count)
    }

    /// What is stopped and goes on gives the same bytes as what runs through.
    @Test(arguments: [QuantizationSettings.Method.gptq, .awq])
    func resuming(_ method: QuantizationSettings.Method) throws {
        let source = try RandomModel(layers: 3).write()
        let place = try TemporaryFolder()
        var settings = try settings(method)
        settings.correction = 0.5
        let (through, stopped) = (place.path + "/through", place.path + "/stopped")
        _ = try quantizer(source, through, settings).run { _, _ in }
        #expect(throws: Stop.self) {
            try quantizer(source, stopped, settings).run { fraction, _ in if fraction > 0.8 { throw Stop() } }
        }
        #expect(!FileManager.default.fileExists(atPath: stopped))
        let summary = try quantizer(source, stopped, settings).run { _, _ in }
        #expect(summary.reusedLayers == 2)
        #expect(
            try Data(contentsOf: URL(filePath: stopped + "/model.safetensors"))
                == Data(contentsOf: URL(filePath: through + "/model.safetensors")))

        // Another setting, or another text, begins anew.
        let other = place.path + "/other"
        #expect(throws: Stop.self) {
            try quantizer(source, other, settings).run { fraction, _ in if fraction > 0.8 { throw Stop() } }
        }
        let text = RandomModel.text(401).dropFirst()
        #expect(try quantizer(source, other, settings, text: Array(text)).run { _, _ in }.reusedLayers == 0)
    }

    /// Groups of 64 in rows of 96: GPTQ's format has a shorter one at the end.
    @Test(arguments: [QuantizationSettings.Method.gptq, .rtn])
    func shorterLastGroup(_ method: QuantizationSettings.Method) throws {
        let source = try RandomModel(inner: 96).write()
        let place = try TemporaryFolder()
        var settings = try QuantizationSettings(method, format: .gptq, groupSize: 64)
        settings.correction = 0
        let summary = try quantizer(source, place.path + "/out", settings).run { _, _ in }
        #expect(try #require(summary.relativeError) < 0.05)
        let found = try tensors(place.path + "/out")
        #expect(found["model.layers.0.mlp.down_proj.scales"]?.shape == [2, 64])
        #expect(found["model.layers.0.mlp.down_proj.g_idx"]?.shape == [96])
    }

    @Test func severalFiles() throws {
        let source = try RandomModel().write()
        let place = try TemporaryFolder()
        var settings = try settings(.rtn)
        settings.shardBytes = 20_000
        _ = try quantizer(source, place.path + "/sharded", settings).run { _, _ in }
        settings.shardBytes = 1 << 30
        _ = try quantizer(source, place.path + "/whole", settings).run { _, _ in }
        let names = try FileManager.default.contentsOfDirectory(atPath: place.path + "/sharded")
        let files = names.filter { $0.hasSuffix(".safetensors") }
        #expect(files.count > 2 && files.allSatisfy { $0.hasSuffix("-of-0000\(files.count).safetensors") })
        #expect(try tensors(place.path + "/sharded").keys.sorted() == tensors(place.path + "/whole").keys.sorted())
        // The index and the files agree, or this throws.
        _ = try ModelFolder(path: place.path + "/sharded")
    }

    // MARK: Refused

    private func expectError(_ words: String, _ body: () throws -> Void) {
        do {
            try body()
            Issue.record("nothing was thrown, expected '\(words)'")
        } catch {
            #expect("\(error)".contains(words), "\(error)")
        }
    }

    @Test func settingsThatNoFormatHas() {
        expectError("5 bits") { _ = try QuantizationSettings(.rtn, bits: 5) }
        expectError("group size of 48") { _ = try QuantizationSettings(.gptq, groupSize: 48) }
        expectError("gptq is not written as awq") { _ = try QuantizationSettings(.gptq, format: .awq) }
        expectError("AWQ has 4 bits") { _ = try QuantizationSettings(.rtn, format: .awq, bits: 8) }
        expectError("AWQ has 4 bits") { _ = try QuantizationSettings(.awq, bits: 8) }
        expectError("zero points") { _ = try QuantizationSettings(.awq, isSymmetric: true) }
        expectError("8-bit weights and activations, not 4") { _ = try QuantizationSettings(.smoothquant, bits: 4) }
        expectError("a scale per row") { _ = try QuantizationSettings(.smoothquant, groupSize: 128) }
        expectError("are symmetric") { _ = try QuantizationSettings(.smoothquant, isSymmetric: false) }
    }

    @Test func sourcesThatCannotBeQuantized() throws {
        let place = try TemporaryFolder()
        let destination = place.path + "/out"
        func attempt(
            _ words: String, settings: QuantizationSettings? = nil, text: [Int32] = RandomModel.text(64),
            length: Int = 32, _ change: (inout RandomModel) -> Void
        ) throws {
            var model = RandomModel()
            change(&model)
            let folder = try model.write()
            let settings = try settings ?? self.settings(.gptq)
            expectError(words) {
                _ = try quantizer(folder, destination, settings, text: text, length: length).run { _, _ in }
            }
            #expect(!FileManager.default.fileExists(atPath: destination))
        }
        try attempt("quantized already, by 'awq'") {
            $0.settings["quantization_config"] = #"{"quant_method": "awq", "bits": 4, "group_size": 32}"#
        }
        try attempt("cannot quantize a 'gemma' model") { $0.settings["model_type"] = #""gemma""# }
        try attempt(
            "down_proj has 96 input columns, which groups of 64 do not divide", settings: settings(.rtn, group: 64)
        ) {
            $0 = RandomModel(inner: 96)
        }
        try attempt("too few for a sample", text: RandomModel.text(31)) { _ in }
        try attempt("longer than the model's context", text: RandomModel.text(400), length: 100) { _ in }
        try attempt("not in the model's vocabulary", text: [Int32](repeating: 96, count: 64)) { _ in }
        try attempt("up_proj.weight has values that are infinite") {
            $0.weights.change("model.layers.1.mlp.up_proj.weight") {
                $0.data.replaceSubrange(0..<4, with: [0, 0, 0xC0, 0x7F])
            }
        }
        try attempt("Hessian is not finite") {
            // A norm that makes float32 overflow.
            $0.weights.change("model.layers.0.input_layernorm.weight") {
                $0.data.replaceSubrange(0..<4, with: [0, 0, 0x7F, 0x7F])
            }
        }
        try attempt("is missing") { $0.weights.remove("model.layers.1.mlp.up_proj.weight") }
        try attempt("inputs of model.layers.0.self_attn.q_proj are zero") {
            $0.weights.change("model.layers.0.input_layernorm.weight") {
                $0.data = [UInt8](repeating: 0, count: $0.data.count)
            }
        }
    }

    @Test func destinationsThatAreThere() throws {
        let source = try RandomModel().write()
        let place = try TemporaryFolder()
        try place.write("mine", to: "out")
        expectError("is there already") { _ = try quantizer(source, place.path + "/out", settings(.rtn)) }
        expectError("needs a calibration text") {
            _ = try Quantizer(
                source: source.path, destination: place.path + "/new", settings: settings(.awq), calibration: nil,
                threads: 1)
        }
        expectError("is not a folder") {
            _ = try Quantizer(
                source: place.path + "/out", destination: place.path + "/new", settings: settings(.rtn),
                calibration: nil, threads: 1)
        }
    }

    @Test func calibrationSamples() throws {
        let text = (0..<100).map(Int32.init)
        let spread = try CalibrationText(text, samples: 3, length: 10)
        #expect(spread.samples == 3 && spread.tokens == Array(text[0..<10]) + text[33..<43] + text[66..<76])
        #expect(try CalibrationText(text, samples: nil, length: 30).samples == 3)
        expectError("too few for 11 samples of 10") { _ = try CalibrationText(text, samples: 11, length: 10) }
    }
}
