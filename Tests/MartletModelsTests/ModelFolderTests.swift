import Foundation
import MartletCheckpoints
import TestSupport
import Testing

@testable import MartletModels

/// Model folders that are not what they should be: the error names the file, what was expected and what was found.
@Suite struct ModelFolderTests {
    private static func load(_ folder: TinyModelFolder) throws {
        let written = try folder.write()
        let checkpoint = try Checkpoint(path: written.path)
        _ = try ModelRegistry.model(of: checkpoint, contextLength: 64).trace()
    }

    @Test func theFolderIsRightBeforeItIsMadeWrong() throws { try Self.load(TinyModelFolder()) }

    struct Wrong: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// The file that the error names.
        let file: String
        let message: String
        let change: @Sendable (inout TinyModelFolder) -> Void

        init(
            _ name: String, _ file: String, _ message: String,
            _ change: @escaping @Sendable (inout TinyModelFolder) -> Void
        ) {
            testDescription = name
            self.file = file
            self.message = message
            self.change = change
        }

        /// A wrong value in `config.json`; nil for none.
        static func setting(_ key: String, _ value: String?, _ message: String) -> Wrong {
            Wrong("\(key): \(value ?? "absent")", "config.json", message) { $0.settings[key] = value }
        }
    }

    static let weights = "model.safetensors"
    static let projection = "model.layers.0.self_attn.k_proj.weight"

    static let wrongWeights: [Wrong] = [
        Wrong("no configuration", "config.json", "cannot be opened") { $0.absent = ["config.json"] },
        Wrong("no weights", "", "has no weights: expected model.safetensors or model.safetensors.index.json") {
            $0.absent = [weights]
        },
        Wrong("pickled weights", "", "found pytorch_model.bin") {
            $0.absent = [weights]
            $0.files["pytorch_model.bin"] = Data("x".utf8)
        },
        Wrong("empty weights", weights, "is empty") { $0.files[weights] = Data() },
        Wrong("a missing tensor", weights, "tensor '\(projection)': is missing, expected one of shape [4, 8]") {
            $0.weights.remove(projection)
        },
        Wrong("no norm", weights, "tensor 'model.norm.weight': is missing, expected one of shape [8]") {
            $0.weights.remove("model.norm.weight")
        },
        Wrong("no output projection", weights, "tensor 'lm_head.weight': is missing, expected one of shape [10, 8]") {
            $0.weights.remove("lm_head.weight")
        },
        Wrong("an extra tensor", weights, "tensor 'model.layers.0.extra': is not part of a llama model") {
            $0.weights.add("model.layers.0.extra", [3])
        },
        Wrong("a layer too many", weights, "tensor 'model.layers.1.input_layernorm.weight': is not part of") {
            $0.weights.add("model.layers.1.input_layernorm.weight", [8])
        },
        Wrong("a bias that the model lacks", weights, "q_proj.bias': is not part of a llama model") {
            $0.weights.add("model.layers.0.self_attn.q_proj.bias", [8])
        },
        Wrong("a wrong shape", weights, "tensor '\(projection)': has shape [8, 4], expected [4, 8]") {
            $0.weights.change(projection) { $0.shape = [8, 4] }
        },
        Wrong("a matrix for a vector", weights, "has shape [8, 1], expected [8]") {
            $0.weights.change("model.norm.weight") { $0.shape = [8, 1] }
        },
        Wrong("integer weights", weights, "tensor '\(projection)': has type I32, expected F32, F16, BF16 or F64") {
            $0.weights.change(projection) { $0.type = "I32" }
        },
        Wrong("an integer norm", weights, "tensor 'model.norm.weight': has type I32, expected F32") {
            $0.weights.change("model.norm.weight") { $0.type = "I32" }
        },
        Wrong("fp8 without scales", weights, "tensor '\(projection)': has type F8_E4M3 but no scales beside it") {
            $0.weights.remove(projection)
            $0.weights.add(projection, [4, 8], type: "F8_E4M3")
        },
        Wrong("int8 without scales", weights, "has type I8 but no scales beside it; expected F32") {
            $0.weights.remove(projection)
            $0.weights.add(projection, [4, 8], type: "I8")
        },
        Wrong("a tensor with two names", weights, "is there twice, as 'model.norm.weight'") {
            $0.weights.add("language_model.model.norm.weight", [8])
        },
    ]

    static func index(_ map: String) -> Data { Data(#"{"metadata": {}, "weight_map": {\#(map)}}"#.utf8) }
    static let indexName = "model.safetensors.index.json"

    /// The weights in two files.
    @Sendable static func shard(_ folder: inout TinyModelFolder) {
        folder.absent = [weights]
        var (first, second) = (SafetensorsBuilder(), SafetensorsBuilder())
        first.tensors = Array(folder.weights.tensors.prefix(5))
        second.tensors = Array(folder.weights.tensors.dropFirst(5))
        folder.files["1.safetensors"] = first.build()
        folder.files["2.safetensors"] = second.build()
        folder.files[indexName] = index(
            (first.tensors.map { #""\#($0.name)": "1.safetensors""# }
                + second.tensors.map { #""\#($0.name)": "2.safetensors""# }).joined(separator: ","))
    }

    static let wrongShards: [Wrong] = [
        Wrong("an absent file", "2.safetensors", "cannot be opened") {
            shard(&$0)
            $0.absent.insert("2.safetensors")
        },
        Wrong("no map", indexName, "key 'weight_map': is missing") {
            $0.absent = [weights]
            $0.files[indexName] = Data("{}".utf8)
        },
        Wrong("a map that is a list", indexName, "key 'weight_map': is an array, not an object") {
            $0.absent = [weights]
            $0.files[indexName] = Data(#"{"weight_map": []}"#.utf8)
        },
        Wrong("a path out of the folder", indexName, "is '../2.safetensors', not the name of a .safetensors file") {
            shard(&$0)
            $0.files[indexName] = index(#""a": "../2.safetensors""#)
        },
        Wrong("an absolute path", indexName, "is '/etc/2.safetensors', not the name") {
            shard(&$0)
            $0.files[indexName] = index(#""a": "/etc/2.safetensors""#)
        },
        Wrong("a file of another kind", indexName, "is 'config.json', not the name of a .safetensors file") {
            shard(&$0)
            $0.files[indexName] = index(#""a": "config.json""#)
        },
        Wrong("a number for a file", indexName, "is a number, not the name") {
            shard(&$0)
            $0.files[indexName] = index(#""a": 3"#)
        },
        Wrong("a tensor that no file has", "1.safetensors", "tensor 'x': is missing, though") {
            shard(&$0)
            $0.files[indexName]?.replace(
                Data(#""weight_map": {"#.utf8), with: Data(#""weight_map": {"x": "1.safetensors","#.utf8))
        },
        Wrong("a tensor that the index does not list", "2.safetensors", "tensor 'x': is not listed in") {
            shard(&$0)
            var file = SafetensorsBuilder()
            file.add("x", [1])
            $0.files["2.safetensors"] = file.build()
        },
        Wrong("a tensor in another file", "1.safetensors", "should be in '2.safetensors'") {
            shard(&$0)
            $0.files["1.safetensors"] = $0.weights.build()
        },
    ]

    static let wrongSettings: [Wrong] = [
        Wrong("no JSON", "config.json", "is not valid JSON") { $0.files["config.json"] = Data("{".utf8) },
        Wrong("a list", "config.json", "is an array, not an object") { $0.files["config.json"] = Data("[]".utf8) },
        Wrong("deep nesting", "config.json", "nested too deeply") {
            $0.files["config.json"] = Data((#"{"a":"# + String(repeating: "[", count: 100_000)).utf8)
        },
        .setting("model_type", nil, "key 'model_type': is missing"),
        .setting("model_type", "3", "key 'model_type': is a number, not a string"),
        Wrong("model_type: gpt17", weights, "unknown architecture 'gpt17'; known are llama, llava, mistral, mllama") {
            $0.settings["model_type"] = #""gpt17""#
        },
        .setting("hidden_size", nil, "key 'hidden_size': is missing"),
        .setting("hidden_size", #""8""#, "key 'hidden_size': is a string, not an integer"),
        .setting("hidden_size", "8.5", "key 'hidden_size': is a number, not an integer"),
        .setting("hidden_size", "1e300", "not an integer"),
        .setting("hidden_size", "0", "key 'hidden_size': is 0, not 1 to"),
        .setting("hidden_size", "9007199254740992", "not 1 to"),
        .setting("num_hidden_layers", "-1", "is -1, not 1 to"),
        .setting("num_hidden_layers", "4000000000", "not 1 to"),
        .setting("num_attention_heads", "3", "is 3, which does not divide the width of 8"),
        .setting("num_attention_heads", "8", "gives heads of 1 dimensions"),
        .setting("num_key_value_heads", "3", "is 3, which does not divide the 2 query heads"),
        .setting("head_dim", "3", "is 3, an odd number"),
        .setting("hidden_act", #""gelu""#, "is 'gelu', expected 'silu'"),
        .setting("rms_norm_eps", "0", "is 0.0, not above 0"),
        .setting("rms_norm_eps", "-1e-5", "not above 0"),
        .setting("rope_theta", "1e400", "is a number, not a finite number"),
        .setting("rope_theta", "true", "is a boolean, not a finite number"),
        .setting("tie_word_embeddings", "1", "is a number, not a boolean"),
        .setting("max_position_embeddings", "0", "is 0, not 1 to"),
        .setting("eos_token_id", "10", "is 10, outside the vocabulary of 10"),
        .setting("eos_token_id", "[1, 2, -7]", "is -7, outside the vocabulary of 10"),
        .setting("eos_token_id", #"["a"]"#, "is an array, not a list of integers"),
        .setting("text_config", "7", "key 'text_config': is a number, not an object"),
        .setting("text_config", #"{"head_dim": 3, "vocab_size": 10}"#, "key 'text_config.head_dim': is 3, an odd"),
        .setting("quantization_config", "{}", "quantization_config.quant_method': is missing"),
        .setting("rope_scaling", "5", "key 'rope_scaling': is a number, not an object"),
        .setting(
            "rope_scaling", #"{"rope_type": "spiral"}"#, "key 'rope_scaling.rope_type': is 'spiral', which is not"),
        .setting("rope_scaling", #"{"type": "linear"}"#, "key 'rope_scaling.factor': is missing"),
        .setting("rope_scaling", #"{"type": "linear", "factor": 0}"#, "key 'rope_scaling.factor': is 0.0, not above 0"),
        .setting("rope_scaling", #"{"type": "llama3", "factor": 8}"#, "key 'rope_scaling.low_freq_factor': is missing"),
        .setting(
            "rope_scaling", #"{"type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}"#,
            "key 'rope_scaling.high_freq_factor': is 4.0, not above low_freq_factor"),
        .setting("rope_parameters", #"{"full_attention": {}}"#, "differs from other layers"),
        .setting("partial_rotary_factor", "0.3", "rotates 1 of 4 dimensions"),
        .setting("partial_rotary_factor", "2", "not above 0 and at most 1"),
        Wrong("a broken generation_config.json", "generation_config.json", "is not valid JSON") {
            $0.files["generation_config.json"] = Data("nonsense".utf8)
        },
        Wrong("a template that is no text", "chat_template.jinja", "is not UTF-8") {
            $0.files["chat_template.jinja"] = Data([0xFF, 0xFE])
        },
        Wrong("a template that is a number", "tokenizer_config.json", "key 'chat_template': is a number") {
            $0.files["tokenizer_config.json"] = Data(#"{"chat_template": 3}"#.utf8)
        },
    ]

    @Test(arguments: wrongWeights + wrongShards + wrongSettings)
    func aWrongFolderIsAClearError(wrong: Wrong) throws {
        var folder = TinyModelFolder()
        wrong.change(&folder)
        let error = #expect(throws: CheckpointError.self) { try Self.load(folder) }
        #expect(error?.description.contains(wrong.message) == true, "\(String(describing: error))")
        #expect(error?.file.hasSuffix(wrong.file) == true, "\(String(describing: error))")
    }

    @Test func whatOldFilesHaveBesidesIsIgnored() throws {
        var folder = TinyModelFolder()
        folder.weights.add("model.layers.0.self_attn.rotary_emb.inv_freq", [2])
        folder.settings["tie_word_embeddings"] = "true"
        try Self.load(folder)
    }

    @Test func shardsAreOneModel() throws {
        var folder = TinyModelFolder()
        Self.shard(&folder)
        try Self.load(folder)
    }

    @Test func settingsOfBothSpellingsAreRead() throws {
        func configuration(_ change: (inout TinyModelFolder) -> Void) throws -> ModelConfiguration {
            var folder = TinyModelFolder()
            change(&folder)
            let written = try folder.write()
            return try Checkpoint(path: written.path).configuration
        }
        let plain = try configuration { _ in }
        #expect(plain.headDim == 4 && plain.rope.theta == 10_000 && plain.rope.scaling == .none)
        #expect(plain.eosTokenIDs == [2] && plain.maxPositionEmbeddings == 64 && !plain.tieWordEmbeddings)
        let old = try configuration {
            $0.settings["rope_theta"] = "5e5"
            $0.settings["rope_scaling"] = #"{"type": "linear", "factor": 4.0}"#
        }
        let new = try configuration {
            $0.settings["rope_theta"] = nil
            $0.settings["rope_parameters"] = #"{"rope_type": "linear", "factor": 4.0, "rope_theta": 5e5}"#
        }
        #expect(old.rope == new.rope && new.rope.theta == 500_000 && new.rope.scaling == .linear(factor: 4))
        #expect(new.maxPositionEmbeddings == 256)
        let nested = try configuration {
            $0.settings["generation_config"] = nil
            $0.settings["text_config"] =
                #"{"model_type": "mistral", "num_hidden_layers": 1, "eos_token_id": [3, 4], "sliding_window": null}"#
        }
        #expect(nested.hiddenSize == 4096 && nested.kvHeadCount == 8 && nested.slidingWindow == nil)
        let generation = try configuration {
            $0.files["generation_config.json"] = Data(
                #"{"eos_token_id": [5, 6, 5], "bos_token_id": 1, "top_k": 20, "temperature": 0.6, "do_sample": true}"#
                    .utf8)
        }
        #expect(generation.eosTokenIDs == [5, 6, 5] && generation.bosTokenID == 1)
        #expect(generation.generationDefaults.topK == 20 && generation.generationDefaults.temperature == 0.6)
        let template = try configuration {
            $0.files["tokenizer_config.json"] = Data(
                #"{"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]}"#
                    .utf8)
        }
        #expect(template.chatTemplate == "d")
    }

    @Test func slidingWindowsAreThoseOfTheReference() throws {
        func windows(_ settings: [String: String]) throws -> [Int?] {
            var folder = TinyModelFolder()
            folder.settings.merge(settings) { $1 }
            folder.settings["num_hidden_layers"] = "3"
            let written = try folder.write()
            let configuration = try Checkpoint(path: written.path).configuration
            return (0..<3).map(configuration.slidingWindow(ofLayer:))
        }
        let mistral = ["model_type": #""mistral""#]
        #expect(try windows(mistral) == [4096, 4096, 4096])
        #expect(try windows(mistral.merging(["sliding_window": "null"]) { $1 }) == [nil, nil, nil])
        #expect(try windows(["sliding_window": "8"]) == [nil, nil, nil], "Llama has none")
        let qwen = ["model_type": #""qwen2""#, "sliding_window": "8", "max_window_layers": "1"]
        #expect(try windows(qwen) == [nil, nil, nil])
        #expect(try windows(qwen.merging(["use_sliding_window": "true"]) { $1 }) == [nil, 8, 8])
        #expect(
            try windows(
                qwen.merging([
                    "use_sliding_window": "true",
                    "layer_types": #"["sliding_attention", "full_attention", "sliding_attention"]"#,
                ]) { $1 }) == [8, nil, 8])
    }
}

/// Models that see. transformers writes no more of `vision_config` than what differs from the defaults of its class.
extension ModelFolderTests {
    private static let sizes = #"{"hidden_size": 64, "intermediate_size": 8, "out_hidden_size": 8, "in_chans": 3}"#

    /// A tiny language model, and a `vision_config` for which it has no tower yet.
    private static func seeing(_ type: String, layers: Int, _ vision: String) -> TinyModelFolder {
        var folder = TinyModelFolder()
        folder.settings["model_type"] = #""\#(type)""#
        folder.settings["num_hidden_layers"] = "\(layers)"
        folder.settings["rope_scaling"] = #"{"rope_type": "default", "mrope_section": [1, 1, 0]}"#
        folder.settings["image_token_id"] = "9"
        folder.settings["vision_config"] = vision
        let first = folder.weights.tensors.filter { $0.name.hasPrefix("model.layers.0.") }
        for layer in 1..<layers {
            for tensor in first {
                folder.weights.add(
                    tensor.name.replacingOccurrences(of: "layers.0.", with: "layers.\(layer)."), tensor.shape)
            }
        }
        return folder
    }

    /// Qwen2.5-VL with a tower of 32 layers, 16 heads of 4 dimensions, and patches of 14 pixels.
    private static func qwen25VL(_ vision: String = Self.sizes) -> TinyModelFolder {
        var folder = seeing("qwen2_5_vl", layers: 1, vision)
        for (projection, width) in [("q_proj", 8), ("k_proj", 4), ("v_proj", 4)] {
            folder.weights.add("model.layers.0.self_attn.\(projection).bias", [width])
        }
        folder.weights.add("visual.patch_embed.proj.weight", [64, 3, 2, 14, 14])
        for block in 0..<32 {
            let name = "visual.blocks.\(block)"
            folder.weights.addWithBias(name + ".attn.qkv", [192, 64])
            folder.weights.addWithBias(name + ".attn.proj", [64, 64])
            folder.weights.addWithBias(name + ".mlp.gate_proj", [8, 64])
            folder.weights.addWithBias(name + ".mlp.up_proj", [8, 64])
            folder.weights.addWithBias(name + ".mlp.down_proj", [64, 8])
            folder.weights.add(name + ".norm1.weight", [64])
            folder.weights.add(name + ".norm2.weight", [64])
        }
        folder.weights.add("visual.merger.ln_q.weight", [64])
        folder.weights.addWithBias("visual.merger.mlp.0", [256, 256])
        folder.weights.addWithBias("visual.merger.mlp.2", [8, 256])
        return folder
    }

    /// Qwen3-VL with a tower of 27 layers, 16 heads of 4 dimensions, and patches of 16 pixels.
    private static func qwen3VL(_ vision: String = Self.sizes) -> TinyModelFolder {
        var folder = seeing("qwen3_vl", layers: 3, vision)
        for layer in 0..<3 {
            folder.weights.add("model.layers.\(layer).self_attn.q_norm.weight", [4])
            folder.weights.add("model.layers.\(layer).self_attn.k_norm.weight", [4])
        }
        folder.weights.addWithBias("visual.patch_embed.proj", [64, 3, 2, 16, 16])
        folder.weights.add("visual.pos_embed.weight", [2304, 64])
        for block in 0..<27 {
            let name = "visual.blocks.\(block)"
            folder.weights.addWithBias(name + ".attn.qkv", [192, 64])
            folder.weights.addWithBias(name + ".attn.proj", [64, 64])
            folder.weights.addWithBias(name + ".mlp.linear_fc1", [8, 64])
            folder.weights.addWithBias(name + ".mlp.linear_fc2", [64, 8])
            folder.weights.addWithBias(name + ".norm1", [64])
            folder.weights.addWithBias(name + ".norm2", [64])
        }
        folder.weights.addWithBias("visual.merger.norm", [64])
        for index in 0..<3 { folder.weights.addWithBias("visual.deepstack_merger_list.\(index).norm", [256]) }
        for name in ["merger"] + (0..<3).map({ "deepstack_merger_list.\($0)" }) {
            folder.weights.addWithBias("visual.\(name).linear_fc1", [256, 256])
            folder.weights.addWithBias("visual.\(name).linear_fc2", [8, 256])
        }
        return folder
    }

    @Test func visionTowersHaveTheDefaultsOfTheirClasses() throws {
        for (folder, patchSize) in [(Self.qwen25VL(), 14), (Self.qwen3VL(), 16)] {
            let written = try folder.write()
            let model = try ModelRegistry.model(of: Checkpoint(path: written.path), contextLength: 64)
            let vision = try #require(model.vision)
            #expect(vision.patchSize == patchSize && vision.mergeSize == 2)
            #expect(vision.patchWidth == 3 * 2 * patchSize * patchSize)
            _ = vision.trace()
        }
    }

    @Test func whatVisionTowersLackIsAClearError() throws {
        func expect(_ message: String, _ folder: TinyModelFolder) {
            let error = #expect(throws: CheckpointError.self) { try Self.load(folder) }
            #expect(error?.description.contains(message) == true, "\(String(describing: error))")
        }
        expect("'vision_config.out_hidden_size': is 3584, but the language model's width is 8", Self.qwen25VL("{}"))
        expect("'vision_config.out_hidden_size': is 3584, but the language model's width is 8", Self.qwen3VL("{}"))
        let output = #"{"out_hidden_size": 8}"#
        expect("expected [3584, 3, 2, 14, 14]", Self.qwen25VL(output))
        expect("expected [1152, 3, 2, 16, 16]", Self.qwen3VL(output))
        let width = #"{"out_hidden_size": 8, "hidden_size": 64}"#
        expect("gate_proj.weight': has shape [8, 64], expected [3420, 64]", Self.qwen25VL(width))
        expect("linear_fc1.weight': has shape [8, 64], expected [4304, 64]", Self.qwen3VL(width))
        expect("'vision_config.in_chans': is 4, expected 3", Self.qwen25VL(#"{"out_hidden_size": 8, "in_chans": 4}"#))
        expect("'vision_config.depth': is 0, not 1 to 1024", Self.qwen25VL(#"{"depth": 0}"#))
        expect(
            "'vision_config.window_size': is 8, less than", Self.qwen25VL(#"{"out_hidden_size": 8, "window_size": 8}"#))
    }
}

extension SafetensorsBuilder {
    fileprivate mutating func addWithBias(_ name: String, _ shape: [Int]) {
        add(name + ".weight", shape)
        add(name + ".bias", Array(shape.prefix(1)))
    }
}
