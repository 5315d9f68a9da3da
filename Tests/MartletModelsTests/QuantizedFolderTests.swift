import Foundation
import MartletCheckpoints
import TestSupport
import Testing

@testable import MartletModels

/// Quantized model folders that are not what they should be: the error names the file and the tensor or key, what was
/// expected and what was found.
@Suite struct QuantizedFolderTests {
    private static let layer = "model.layers.0.self_attn.q_proj"

    /// A tiny Llama whose query projection [8, 8] is quantized by some method.
    private static func folder(_ configuration: String, _ add: (inout SafetensorsBuilder) -> Void) -> TinyModelFolder {
        var folder = TinyModelFolder()
        folder.settings["quantization_config"] = configuration
        folder.weights.remove(layer + ".weight")
        add(&folder.weights)
        return folder
    }

    static let gptq = folder(#"{"quant_method": "gptq", "bits": 4, "group_size": 4, "desc_act": true}"#) { file in
        file.add(layer + ".qweight", [1, 8], type: "I32")
        file.add(layer + ".qzeros", [2, 1], type: "I32")
        file.add(layer + ".scales", [2, 8], type: "F16")
        file.add(layer + ".g_idx", [8], type: "I32", data: integers([1, 0, 1, 0, 0, 0, 1, 1]))
    }

    static let awq = folder(#"{"quant_method": "awq", "bits": 4, "group_size": 4, "version": "gemm"}"#) { file in
        file.add(layer + ".qweight", [8, 1], type: "I32")
        file.add(layer + ".qzeros", [2, 1], type: "I32")
        file.add(layer + ".scales", [2, 8], type: "BF16")
    }

    /// AutoRound's files are those of the two above, without `g_idx`.
    private static func autoRound(_ folder: TinyModelFolder, _ layout: String) -> TinyModelFolder {
        var folder = folder
        folder.settings["quantization_config"] =
            #"{"quant_method": "auto-round", "packing_format": "auto_round:\#(layout)", "bits": 4, "group_size": 4, "#
            + #""sym": false, "data_type": "int", "act_bits": 16, "extra_config": {"lm_head": {"bits": 16}}}"#
        folder.weights.remove(layer + ".g_idx")
        return folder
    }

    static let autoRoundGPTQ = autoRound(gptq, "auto_gptq")
    static let autoRoundAWQ = autoRound(awq, "auto_awq")

    private static func compressed(_ weights: String, format: String = "pack-quantized") -> String {
        #"{"quant_method": "compressed-tensors", "format": "\#(format)", "config_groups": {"a": {"weights": \#(weights)}}}"#
    }

    static let packed = folder(
        compressed(#"{"num_bits": 4, "type": "int", "symmetric": false, "strategy": "group", "group_size": 4}"#)
    ) { file in
        file.add(layer + ".weight_packed", [8, 1], type: "I32")
        file.add(layer + ".weight_scale", [8, 2], type: "F32")
        file.add(layer + ".weight_zero_point", [1, 2], type: "I32")
        file.add(layer + ".weight_shape", [2], type: "I64", data: integers([8, 0, 8, 0]))
    }

    static let bytes = folder(compressed(#"{"num_bits": 8, "strategy": "channel"}"#, format: "int-quantized")) { file in
        file.add(layer + ".weight", [8, 8], type: "I8")
        file.add(layer + ".weight_scale", [8, 1], type: "F32")
    }

    static let float8 = folder(#"{"quant_method": "fp8", "weight_block_size": [4, 8]}"#) { file in
        file.add(layer + ".weight", [8, 8], type: "F8_E4M3")
        file.add(layer + ".weight_scale_inv", [2, 1], type: "F32")
    }

    /// A matrix of 64 zeros in 4 bits; `state` is the text beside it.
    static func bitsAndBytes(
        _ state: String = #"{"blocksize": 64, "shape": [8, 8], "dtype": "float16"}"#
    ) -> TinyModelFolder {
        folder(#"{"quant_method": "bitsandbytes", "load_in_4bit": true}"#) { file in
            file.add(layer + ".weight", [32, 1], type: "U8")
            file.add(layer + ".weight.absmax", [1], type: "F32")
            file.add(layer + ".weight.quant_map", [16], type: "F32")
            file.add(
                layer + ".weight.quant_state.bitsandbytes__nf4", [state.utf8.count], type: "U8", data: Array(state.utf8)
            )
        }
    }

    private static func integers(_ values: [Int32]) -> [UInt8] {
        values.flatMap { value in withUnsafeBytes(of: value.littleEndian, Array.init) }
    }

    private static func load(_ folder: TinyModelFolder) throws {
        let written = try folder.write()
        _ = try ModelRegistry.model(of: Checkpoint(path: written.path), contextLength: 64).trace()
    }

    @Test func theFoldersAreRightBeforeTheyAreMadeWrong() throws {
        for folder in [Self.gptq, Self.awq, Self.packed, Self.bytes, Self.float8, Self.bitsAndBytes()] {
            try Self.load(folder)
        }
    }

    @Test func layoutsOfAutoRound() throws {
        func configuration(_ folder: TinyModelFolder) throws -> QuantizationConfiguration {
            let written = try folder.write()
            return try #require(try Checkpoint(path: written.path).configuration.quantization)
        }
        var expected = try configuration(Self.gptq)
        expected.hasActivationOrder = false
        expected.hasOverrides = true
        expected.schemes[0].isSymmetric = false
        #expect(try configuration(Self.autoRoundGPTQ) == expected)
        #expect(expected.storesZeroPointsMinusOne)
        expected = try configuration(Self.awq)
        expected.hasOverrides = true
        #expect(try configuration(Self.autoRoundAWQ) == expected)
        for folder in [Self.autoRoundGPTQ, Self.autoRoundAWQ] { try Self.load(folder) }
    }

    /// transformers 5 writes which kernels it chose, or that it may choose: the layout is the same.
    @Test(arguments: [
        "autoawq", "auto", "auto_trainable", "machete", "marlin", "exllama_v2", "gemm_triton", "torch_awq",
    ])
    func whateverTheKernelsOfAWQ(backend: String) throws {
        var folder = Self.awq
        let old = folder.settings["quantization_config"] ?? ""
        folder.settings["quantization_config"] = old.replacingOccurrences(
            of: #""bits""#, with: #""backend": "\#(backend)", "bits""#)
        try Self.load(folder)
    }

    struct Wrong: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let folder: TinyModelFolder
        /// What the error says, the file first.
        let parts: [String]

        init(
            _ name: String, _ folder: TinyModelFolder, _ parts: String...,
            change: (inout TinyModelFolder) -> Void
        ) {
            var folder = folder
            change(&folder)
            (testDescription, self.folder, self.parts) = (name, folder, parts)
        }

        /// A wrong value in the configuration.
        static func setting(
            _ folder: TinyModelFolder, _ text: String, _ replacement: String, key: String, _ message: String
        ) -> Wrong {
            Wrong("\(replacement) for \(text)", folder, "config.json", "'quantization_config.\(key)'", message) {
                let old = $0.settings["quantization_config"] ?? ""
                $0.settings["quantization_config"] = old.replacingOccurrences(of: text, with: replacement)
            }
        }

        /// A tensor of another shape, type or contents.
        static func tensor(
            _ folder: TinyModelFolder, _ name: String, _ shape: [Int], type: String, data: [UInt8]? = nil,
            _ message: String
        ) -> Wrong {
            Wrong("\(name) \(type) \(shape)", folder, "model.safetensors", "'\(layer).\(name)'", message) {
                $0.weights.remove("\(layer).\(name)")
                $0.weights.add("\(layer).\(name)", shape, type: type, data: data)
            }
        }

        static func missing(_ folder: TinyModelFolder, _ name: String) -> Wrong {
            Wrong("no \(name)", folder, "model.safetensors", "'\(layer).\(name)'", "is missing") {
                $0.weights.remove("\(layer).\(name)")
            }
        }
    }

    static let wrongSettings: [Wrong] = [
        .setting(gptq, #""quant_method": "gptq", "#, "", key: "quant_method", "is missing"),
        .setting(
            autoRoundGPTQ, "auto_round:auto_gptq", "auto_round", key: "packing_format",
            "is 'auto_round', which is not supported (known: auto_round:auto_gptq, auto_round:auto_awq)"),
        .setting(
            autoRoundGPTQ, #""packing_format": "auto_round:auto_gptq", "#, "", key: "packing_format", "is missing"),
        .setting(autoRoundAWQ, #""bits": 4"#, #""bits": 8"#, key: "bits", "is 8, expected 4"),
        .setting(autoRoundAWQ, #""act_bits": 16"#, #""act_bits": 8"#, key: "act_bits", "is 8: rounded activations"),
        .setting(autoRoundAWQ, #""int""#, #""fp""#, key: "data_type", "is 'fp', which is not supported"),
        .setting(
            gptq, #""gptq""#, #""hqq""#, key: "quant_method", "is 'hqq', which is not supported (known: awq, gptq"),
        .setting(gptq, #""bits": 4"#, #""bits": 5"#, key: "bits", "is 5, expected 2, 3, 4, 8"),
        .setting(gptq, #""bits": 4"#, #""bits": "4""#, key: "bits", "is a string, not an integer"),
        .setting(gptq, #""group_size": 4"#, #""group_size": 0"#, key: "group_size", "is 0, expected -1 or 1 to"),
        .setting(gptq, #""group_size": 4, "#, "", key: "group_size", "is missing"),
        .setting(
            gptq, #""bits""#, #""checkpoint_format": "marlin", "bits""#, key: "checkpoint_format",
            "is 'marlin', which is not supported (known: gptq, gptq_v2)"),
        .setting(gptq, #""bits""#, #""pack_dtype": "int16", "bits""#, key: "pack_dtype", "is 'int16'"),
        .setting(gptq, #""bits""#, #""is_marlin_format": true, "bits""#, key: "is_marlin_format", "is true"),
        .setting(awq, #""gemm""#, #""gemv_fast""#, key: "version", "is 'gemv_fast', which is not supported"),
        .setting(awq, #""bits": 4"#, #""bits": 8"#, key: "bits", "is 8, expected 4"),
        .setting(awq, #""bits""#, #""backend": "llm-awq", "bits""#, key: "backend", "is 'llm-awq', a layout which"),
        .setting(packed, #""pack-quantized""#, #""nvfp4-pack-quantized""#, key: "format", "is 'nvfp4-pack-quantized'"),
        .setting(packed, #""num_bits": 4"#, #""num_bits": 3"#, key: "config_groups.a.weights.num_bits", "is 3"),
        .setting(
            packed, #""strategy": "group""#, #""strategy": "tensor_group""#, key: "config_groups.a.weights.strategy",
            "is 'tensor_group', which is not supported"),
        .setting(packed, #""config_groups""#, #""config_group""#, key: "config_groups", "is missing"),
        .setting(
            packed, #""config_groups""#, #""sparsity_config": {"format": "sparse-24-bitmask"}, "config_groups""#,
            key: "sparsity_config.format", "is 'sparse-24-bitmask', which is not supported"),
        .setting(
            packed, #""config_groups""#, #""transform_config": {"R1": {}}, "config_groups""#, key: "transform_config",
            "asks for transformed activations"),
        .setting(bitsAndBytes(), ": true", ": false", key: "load_in_4bit", "is not true"),
        .setting(float8, "[4, 8]", "[4]", key: "weight_block_size", "is [4], expected two sizes"),
        .setting(float8, "[4, 8]", "[0, 8]", key: "weight_block_size", "is [0, 8], expected two sizes"),
    ]

    static let wrongWeights: [Wrong] = [
        Wrong(
            "no configuration", gptq, "model.safetensors", "'\(layer).qweight'", "is quantized, but config.json has no"
        ) {
            $0.settings["quantization_config"] = nil
        },
        .tensor(gptq, "qweight", [2, 8], type: "I32", "").with(
            "'\(layer).scales'", "8 bits in 2 groups, expected 4 bits"),
        .tensor(gptq, "qweight", [3, 8], type: "I32", "has shape [3, 8], expected [8 * bits / 32, 8]"),
        .tensor(gptq, "qweight", [1, 4], type: "I32", "has shape [1, 4], expected [rows, 8]"),
        .tensor(gptq, "qweight", [1, 8], type: "F32", "has type F32, expected I32"),
        .missing(gptq, "scales"),
        .tensor(gptq, "scales", [3, 8], type: "F16", "8 columns of 4 bits in 3 groups, expected 4 bits in 2 groups"),
        .tensor(gptq, "scales", [2, 8], type: "I16", "has type I16, expected F16, BF16 or F32"),
        .tensor(gptq, "scales", [2, 4], type: "F16", "has shape [2, 4], expected [rows, 8]"),
        .tensor(
            gptq, "scales", [2, 8], type: "F16", data: [UInt8](repeating: 0xFF, count: 32),
            "has the scale nan at [0, 0]"),
        .missing(gptq, "qzeros"),
        .tensor(gptq, "qzeros", [2, 2], type: "I32", "has shape [2, 2], expected [2, 1]"),
        .tensor(gptq, "g_idx", [9], type: "I32", "has shape [9], expected [8]"),
        .tensor(gptq, "g_idx", [8], type: "I64", "has type I64, expected I32"),
        .tensor(
            gptq, "g_idx", [8], type: "I32", data: integers([0, 0, 0, 0, 1, 1, 1, 2]),
            "has group 2 at [7], expected 0 to 1"),
        .tensor(
            gptq, "g_idx", [8], type: "I32", data: integers([0, 0, -1, 0, 1, 1, 1, 1]),
            "has group -1 at [2], expected 0 to 1"),
        .tensor(
            gptq, "bias", [8], type: "F32", data: integers([1, 0, 0, 0, 0, 0, 0, 0]), "is not part of a llama model"),
        .tensor(awq, "qweight", [1, 8], type: "I32", "has shape [1, 8], expected [8, 1]"),
        .tensor(awq, "scales", [1, 8], type: "F16", "8 columns of 4 bits in 1 groups, expected 4 bits in 2 groups"),
        .missing(awq, "qzeros"),
        .tensor(packed, "weight_packed", [8, 2], type: "I32", "has shape [8, 2], expected [8, 8 * 4 / 32]"),
        .tensor(packed, "weight_packed", [8, 1], type: "I64", "has type I64, expected I32"),
        .tensor(packed, "weight_shape", [2], type: "I64", data: integers([8, 0, 9, 0]), "is [8, 9], expected [8, 8]"),
        .tensor(packed, "weight_scale", [4, 2], type: "F32", "has shape [4, 2], expected [8, groups] or [1]"),
        .tensor(packed, "weight_scale", [8, 3], type: "F32", "in 3 groups, expected 4 bits in 2 groups"),
        .missing(packed, "weight_scale"),
        .tensor(packed, "weight_zero_point", [8, 2], type: "I32", "is I32 [8, 2], expected I32 [1, 2] or I8 [8, 2]"),
        .tensor(
            packed, "weight_g_idx", [8], type: "I32", data: integers([0, 0, 0, 0, 1, 1, 5, 1]), "has group 5 at [6]"),
        .tensor(bytes, "weight", [8, 8], type: "I16", "has type I16 and a scale beside it, expected I8 or F8_E4M3"),
        .tensor(bytes, "weight_scale", [7, 1], type: "F32", "has shape [7, 1], expected [8, groups] or [1]"),
        Wrong("no scale", bytes, "model.safetensors", "'\(layer).weight'", "has type I8 but no scales beside it") {
            $0.weights.remove("\(layer).weight_scale")
        },
        .tensor(bitsAndBytes(), "weight", [31, 1], type: "U8", "has shape [31, 1], expected [32, 1]"),
        .tensor(bitsAndBytes(), "weight.absmax", [2], type: "F32", "has shape [2], expected [1]"),
        .missing(bitsAndBytes(), "weight.quant_map"),
        state("{", "is not valid JSON"), state("{}", "has no 'blocksize'"),
        state(#"{"blocksize": 64, "shape": [8, 9], "dtype": "float16"}"#, "is of a matrix [8, 9], expected [8, 8]"),
        state(#"{"blocksize": 64, "shape": [8, 8], "dtype": "int8"}"#, "has the dtype 'int8'"),
        .tensor(float8, "weight", [8, 8], type: "I8", "has type I8, expected F8_E4M3"),
        .tensor(
            float8, "weight_scale_inv", [2, 2], type: "F32", "has shape [2, 2], expected one scale, one for each of 8"),
    ]

    private static func state(_ text: String, _ message: String) -> Wrong {
        Wrong(
            "state \(text)", bitsAndBytes(text), "model.safetensors",
            "'\(layer).weight.quant_state.bitsandbytes__nf4'", message
        ) { _ in }
    }

    @Test(arguments: wrongSettings + wrongWeights)
    func whatIsWrongIsSaid(wrong: Wrong) throws {
        let error = #expect(throws: CheckpointError.self) { try Self.load(wrong.folder) }
        let text = error?.description ?? ""
        for part in wrong.parts { #expect(text.contains(part), "\(text)") }
    }
}

extension QuantizedFolderTests.Wrong {
    /// The same folder with an error about something else.
    fileprivate func with(_ parts: String...) -> QuantizedFolderTests.Wrong {
        QuantizedFolderTests.Wrong(copying: self, parts)
    }

    private init(copying other: QuantizedFolderTests.Wrong, _ parts: [String]) {
        (testDescription, folder, self.parts) = (other.testDescription, other.folder, ["model.safetensors"] + parts)
    }
}
