import Foundation
import MartletCheckpoints
import TestSupport
import Testing

@Suite struct CheckpointTests {
    @Test func `a configuration is built from metadata and tensors`() throws {
        let checkpoint = try Checkpoint(gguf: GGUFBuilder.llama().open())
        let configuration = checkpoint.configuration
        #expect(configuration.architecture == "llama")
        #expect(configuration.hiddenSize == 32 && configuration.intermediateSize == 64)
        #expect(configuration.layerCount == 1 && configuration.maxPositionEmbeddings == 64)
        #expect(configuration.headCount == 2 && configuration.kvHeadCount == 1 && configuration.headDim == 16)
        #expect(configuration.vocabularySize == 8 && configuration.tieWordEmbeddings)
        #expect(configuration.rmsNormEpsilon == Double(Float(1e-5)))
        #expect(configuration.rope.theta == 50_000 && configuration.rope.dimensionCount == 16)
        #expect(configuration.rope.scaling == .none && configuration.rope.frequencyFactorsTensor == nil)
        #expect(!configuration.attentionInputBias && !configuration.attentionOutputBias && !configuration.queryKeyNorm)
        #expect(configuration.slidingWindow == nil && configuration.experts == nil && configuration.name == nil)
        #expect(configuration.bosTokenID == 1 && configuration.eosTokenIDs == [2])
        #expect(configuration.chatTemplate == nil && configuration.generationDefaults == .init())
    }

    @Test func `optional facts are read`() throws {
        var file = GGUFBuilder.llama(architecture: "qwen3moe")
        file.set("qwen3moe.attention.key_length", UInt32(8))
        file.set("qwen3moe.attention.value_length", UInt32(8))
        file.set("qwen3moe.attention.sliding_window", UInt32(48))
        file.set("qwen3moe.rope.dimension_count", UInt32(4))
        file.set("qwen3moe.expert_count", UInt32(4))
        file.set("qwen3moe.expert_used_count", UInt32(2))
        file.set("qwen3moe.expert_feed_forward_length", UInt32(16))
        file.set("qwen3moe.attention.head_count_kv", array: 4, count: 2, UInt32(1).bytes + UInt32(1).bytes)
        file.set("tokenizer.ggml.eot_token_id", UInt32(5))
        file.set("tokenizer.ggml.eom_token_id", UInt32(2))
        file.set("tokenizer.ggml.bos_token_id", UInt32.max)
        file.set("tokenizer.chat_template", "{{ messages }}")
        file.set("general.name", "Tiny")
        file.set("general.sampling.temp", Float(0.5))
        file.set("general.sampling.top_k", 5, Int32(20).bytes)
        file.add("output.weight", [8, 32], .q8_0)
        file.add("blk.0.attn_q.bias", [32])
        file.add("blk.0.attn_output.bias", [32])
        file.add("blk.0.attn_q_norm.weight", [8])
        file.add("rope_freqs.weight", [2])
        let configuration = try ModelConfiguration(gguf: file.open())
        #expect(configuration.architecture == "qwen3_moe")
        #expect(configuration.headDim == 8 && configuration.slidingWindow == 48 && configuration.kvHeadCount == 1)
        #expect(configuration.rope.dimensionCount == 4)
        #expect(configuration.rope.frequencyFactorsTensor == "rope_freqs.weight")
        let experts = try #require(configuration.experts)
        #expect(experts.count == 4 && experts.perToken == 2 && experts.intermediateSize == 16)
        #expect(experts.normalizesWeights && experts.sharedIntermediateSize == nil)
        #expect(configuration.eosTokenIDs == [2, 5] && configuration.bosTokenID == nil)
        #expect(configuration.chatTemplate == "{{ messages }}" && configuration.name == "Tiny")
        #expect(configuration.generationDefaults.temperature == 0.5 && configuration.generationDefaults.topK == 20)
        #expect(!configuration.tieWordEmbeddings && configuration.attentionInputBias)
        #expect(configuration.attentionOutputBias && configuration.queryKeyNorm)
    }

    @Test func `rope scalings are read`() throws {
        var file = GGUFBuilder.llama()
        file.set("llama.rope.scale_linear", Float(4))
        #expect(try ModelConfiguration(gguf: file.open()).rope.scaling == .linear(factor: 4))
        file.set("llama.rope.scaling.type", "none")
        #expect(try ModelConfiguration(gguf: file.open()).rope.scaling == .none)
        file.set("llama.rope.scaling.type", "linear")
        file.set("llama.rope.scaling.factor", Float(8))
        #expect(try ModelConfiguration(gguf: file.open()).rope.scaling == .linear(factor: 8))
        file.set("llama.rope.scaling.type", "yarn")
        file.set("llama.rope.scaling.original_context_length", UInt32(16))
        guard case .yarn(var yarn) = try ModelConfiguration(gguf: file.open()).rope.scaling else {
            Issue.record("not yarn")
            return
        }
        #expect(yarn.factor == 8 && yarn.originalContextLength == 16 && yarn.attentionFactor == nil)
        #expect(yarn.betaFast == 32 && yarn.betaSlow == 1)
        file.set("llama.rope.scaling.attn_factor", Float(0.5))
        file.set("llama.rope.scaling.yarn_beta_fast", Float(16))
        guard case .yarn(let changed) = try ModelConfiguration(gguf: file.open()).rope.scaling else {
            Issue.record("not yarn")
            return
        }
        yarn = changed
        // Half of 0.1 ln(8) + 1 = 1.2079441541679836.
        #expect(abs((yarn.attentionFactor ?? 0) - 0.6039720770839918) < 1e-15)
        #expect(yarn.betaFast == 16)
    }

    @Test func `tensors have canonical names`() throws {
        var file = GGUFBuilder.llama()
        file.add("blk.0.ffn_gate_inp.weight", [4, 32])
        file.add("blk.0.made_up.weight", [32])
        let checkpoint = try Checkpoint(gguf: file.open())
        #expect(
            checkpoint.tensorNames == [
                "model.embed_tokens.weight", "model.norm.weight", "model.layers.0.input_layernorm.weight",
                "model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight",
                "model.layers.0.self_attn.v_proj.weight", "model.layers.0.self_attn.o_proj.weight",
                "model.layers.0.post_attention_layernorm.weight", "model.layers.0.mlp.gate_proj.weight",
                "model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.down_proj.weight",
                "model.layers.0.mlp.gate.weight", "blk.0.made_up.weight",
            ])
        let down = try checkpoint.tensor("model.layers.0.mlp.down_proj.weight")
        #expect(down.shape == [32, 64] && down.type == .q4_0 && down.descriptor.name == "blk.0.ffn_down.weight")
        let error = #expect(throws: CheckpointError.self) { try checkpoint.tensor("lm_head.weight") }
        #expect(error?.description == "test.gguf: tensor 'lm_head.weight': is missing")
    }

    @Test(arguments: [
        ("blk.12.attn_q.bias", "llama", "model.layers.12.self_attn.q_proj.bias"),
        ("blk.3.attn_k_norm.weight", "qwen3", "model.layers.3.self_attn.k_norm.weight"),
        ("blk.3.ffn_up_exps.weight", "qwen3moe", "model.layers.3.mlp.experts.up_proj.weight"),
        ("blk.0.ffn_gate_inp_shexp.weight", "qwen2moe", "model.layers.0.mlp.shared_expert_gate.weight"),
        ("blk.0.ffn_norm.weight", "llama", "model.layers.0.post_attention_layernorm.weight"),
        ("blk.0.ffn_norm.weight", "gemma2", "model.layers.0.pre_feedforward_layernorm.weight"),
        ("blk.0.post_attention_norm.weight", "gemma2", "model.layers.0.post_attention_layernorm.weight"),
        ("blk.0.post_ffw_norm.weight", "gemma2", "model.layers.0.post_feedforward_layernorm.weight"),
        ("output.weight", "llama", "lm_head.weight"),
        ("rope_freqs.weight", "llama", "rope_freqs.weight"),
        ("blk.00.attn_q.weight", "llama", nil), ("blk.-1.attn_q.weight", "llama", nil),
        ("blk.1.attn_q", "llama", nil), ("blk.1.attn_q.scale", "llama", nil), ("blk..attn_q.weight", "llama", nil),
        ("blk.99999999999999999999.attn_q.weight", "llama", nil), ("", "llama", nil), ("blk", "llama", nil),
    ])
    func `names are mapped or not known`(name: String, architecture: String, canonical: String?) {
        #expect(GGUFNames.canonical(name, architecture: architecture) == canonical)
    }

    /// Row r of the file holds r in every column; reading canonical rows must give llama.cpp's permutation backwards.
    @Test func `the interleaving of rope's halves is undone for Llama only`() throws {
        for architecture in ["llama", "qwen2"] {
            var file = GGUFBuilder.llama(architecture: architecture)
            for (name, rows) in [("q", 32), ("k", 16), ("v", 16)] {
                let values = (0..<rows).flatMap { row in [Float](repeating: Float(row), count: 32) }
                file.removeTensor("blk.0.attn_\(name).weight")
                file.add(
                    "blk.0.attn_\(name).weight", [rows, 32], .f32, data: values.flatMap { $0.bitPattern.bytes })
                file.add(
                    "blk.0.attn_\(name).bias", [rows], .f32,
                    data: (0..<rows).flatMap { Float($0).bitPattern.bytes })
            }
            let checkpoint = try Checkpoint(gguf: file.open())
            for (name, rows) in [("q", 32), ("k", 16), ("v", 16)] {
                // The converter reshapes a head's rows [2, 8] and swaps the axes: canonical row (half, pair) of a head
                // goes to file row 2 · pair + half.
                let head = (0..<2).flatMap { half in (0..<8).map { pair in 2 * pair + half } }
                let isInterleaved = architecture == "llama" && name != "v"
                let expected =
                    isInterleaved ? (0..<rows / 16).flatMap { h in head.map { h * 16 + $0 } } : Array(0..<rows)
                let weight = try checkpoint.tensor("model.layers.0.self_attn.\(name)_proj.weight").dequantized()
                let bias = try checkpoint.tensor("model.layers.0.self_attn.\(name)_proj.bias").dequantized()
                #expect((0..<rows).map { Int(weight[$0 * 32 + 5]) } == expected, "\(architecture) \(name)")
                #expect(bias.map { Int($0) } == expected, "\(architecture) \(name)")
            }
        }
    }

    @Test func `rows of a quantized tensor are read in canonical order`() throws {
        let checkpoint = try Checkpoint(gguf: GGUFBuilder.llama().open())
        let tensor = try checkpoint.tensor("model.layers.0.self_attn.k_proj.weight")
        #expect(tensor.rowOrder == .interleavedRope(heads: 1, headDim: 16))
        let start = try #require(tensor.file.bytes.baseAddress) + tensor.descriptor.byteRange.lowerBound
        #expect(tensor.source(row: 1) == start + 2 * 20)
        #expect(tensor.source(row: 9) == start + 3 * 20)
        var (codes, scale, offset) = ([UInt8](repeating: 0, count: 32), Float(0), Float(0))
        var row = [Float](repeating: 0, count: 32)
        var noFactors: [UInt8] = [0]
        noFactors.withUnsafeMutableBufferPointer { none in
            codes.withUnsafeMutableBufferPointer { codes in
                withUnsafeMutablePointer(to: &scale) { scale in
                    withUnsafeMutablePointer(to: &offset) { offset in
                        tensor.affineRow(
                            9,
                            into: AffineRowBuffers(
                                codes: codes.baseAddress!, scales: scale, offsets: offset,
                                scaleFactors: none.baseAddress!, offsetFactors: none.baseAddress!))
                    }
                }
            }
        }
        tensor.dequantizeRow(9, into: &row)
        #expect(codes.map { scale * Float($0) + offset } == row)
        // Row 3 of the file starts with byte 60 of 0, 1, 2, …: scale, minimum, then the nibbles of byte 64.
        #expect(codes[0] == 0 && codes[16] == 4)
        tensor.releasePages(rows: 0..<tensor.rows)
        #expect(tensor.source(row: 0).load(as: UInt8.self) == 0)
    }

    @Test(.enabled(if: SharedFixtures.smolLM2 != nil, "the SmolLM2 GGUF file is absent (make model)"))
    func `SmolLM2 has the weights that transformers reads from it`() throws {
        let checkpoint = try Checkpoint(path: #require(SharedFixtures.smolLM2).path)
        let configuration = checkpoint.configuration
        #expect(configuration.architecture == "llama" && configuration.layerCount == 30)
        #expect(configuration.hiddenSize == 576 && configuration.intermediateSize == 1536)
        #expect(configuration.headCount == 9 && configuration.kvHeadCount == 3 && configuration.headDim == 64)
        #expect(configuration.vocabularySize == 49152 && configuration.tieWordEmbeddings)
        #expect(configuration.maxPositionEmbeddings == 8192 && configuration.rope.theta == 100_000)
        #expect(configuration.bosTokenID == 1 && configuration.eosTokenIDs == [2])
        #expect(configuration.chatTemplate?.hasPrefix("{% for message in messages %}") == true)
        // First three floats of some rows, from the safetensors file that transformers 5.23 makes of this GGUF file.
        let facts: [(String, Int, [UInt32])] = [
            ("model.layers.0.self_attn.q_proj.weight", 0, [0xBDC5_4000, 0x3E21_2000, 0xBDC5_4000]),
            ("model.layers.0.self_attn.q_proj.weight", 1, [0xBE23_0000, 0x3ECB_C000, 0xBCA3_0000]),
            ("model.layers.0.self_attn.q_proj.weight", 32, [0xBDF0_4000, 0xBDF0_4000, 0xBE45_7000]),
            ("model.layers.0.self_attn.q_proj.weight", 575, [0xBE20_9000, 0x3E1E_0800, 0x3EAE_9800]),
            ("model.layers.29.self_attn.k_proj.weight", 1, [0x3D70_0000, 0xBCE0_0000, 0x3DD0_0000]),
            ("model.layers.29.self_attn.k_proj.weight", 63, [0xBC96_8000, 0x3D8C_8000, 0x3CCD_C000]),
            ("model.layers.29.self_attn.k_proj.weight", 100, [0x3E03_4400, 0xBDCC_0800, 0x3C6A_0000]),
            ("model.embed_tokens.weight", 49151, [0x3C3C_8000, 0x3BBC_8000, 0x3DC8_4800]),
            ("model.layers.3.mlp.down_proj.weight", 5, [0x3DB5_A000, 0x3C64_0000, 0xBD79_4000]),
        ]
        for (name, row, bits) in facts {
            let tensor = try checkpoint.tensor(name)
            var values = [Float](repeating: 0, count: tensor.columns)
            tensor.dequantizeRow(row, into: &values)
            #expect(values.prefix(3).map(\.bitPattern) == bits, "\(name) row \(row)")
        }
        // Every tensor of every layer has a canonical name.
        #expect(checkpoint.tensorNames.allSatisfy { $0.hasPrefix("model.") })
    }
}
