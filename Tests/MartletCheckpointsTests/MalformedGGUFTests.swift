import MartletCheckpoints
import TestSupport
import Testing

/// A valid file, made wrong in one way, and a part of the message that must name what is wrong.
struct MalformedFile: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let message: String
    let change: @Sendable (inout GGUFBuilder) -> Void

    init(_ name: String, _ message: String, _ change: @escaping @Sendable (inout GGUFBuilder) -> Void) {
        testDescription = name
        self.message = message
        self.change = change
    }
}

@Suite struct MalformedGGUFTests {
    @Test(arguments: MalformedFile.structure + MalformedFile.metadata + MalformedFile.tensors + MalformedFile.model)
    func `a malformed file is a clear error`(file: MalformedFile) throws {
        var builder = GGUFBuilder.llama()
        _ = try Checkpoint(gguf: builder.open())
        file.change(&builder)
        let mapped = try MappedFile(contents: builder.build(), path: "bad.gguf")
        let time = ContinuousClock().measure {
            let error = #expect(throws: CheckpointError.self) { _ = try Checkpoint(gguf: GGUF(file: mapped)) }
            #expect(error?.description.contains(file.message) == true, "\(String(describing: error))")
            #expect(error?.file == "bad.gguf")
        }
        // Microseconds; the room is for a busy machine. What a hostile count could cost is minutes.
        #expect(time < .seconds(5))
    }

    @Test func `a file cut at any byte is an error`() throws {
        let bytes = GGUFBuilder.llama().build()
        for length in 1..<bytes.count {
            let file = try MappedFile(contents: bytes.prefix(length), path: "cut.gguf")
            #expect(throws: CheckpointError.self, "\(length) bytes") { _ = try Checkpoint(gguf: GGUF(file: file)) }
        }
    }

    /// Each byte of the header set to values that make counts, lengths, types and offsets extreme: nothing may trap, and
    /// what still opens must be readable.
    @Test func `any wrong byte is an error or a readable file`() throws {
        let valid = GGUFBuilder.llama()
        let bytes = valid.build()
        let header = bytes.count - valid.tensors.reduce(0) { $0 + $1.data.count }
        var refused = 0
        for position in 0..<header {
            for value in [0, 1, 0x7F, 0x80, 0xFF, bytes[position] ^ 1] as [UInt8] where value != bytes[position] {
                var changed = bytes
                changed[position] = value
                let file = try MappedFile(contents: changed, path: "changed.gguf")
                do {
                    try readEverything(Checkpoint(gguf: GGUF(file: file)))
                } catch is CheckpointError {
                    refused += 1
                }
            }
        }
        #expect(refused > header)
    }

    @Test func `every file of two bytes and none is refused`() {
        for first in stride(from: 0, through: 255, by: 5) {
            for second in stride(from: 0, through: 255, by: 5) {
                #expect(throws: CheckpointError.self) {
                    _ = try GGUF(file: MappedFile(contents: [UInt8(first), UInt8(second)], path: "short.gguf"))
                }
            }
        }
        #expect(throws: CheckpointError.self) { try MappedFile(contents: [], path: "empty.gguf") }
    }
}

/// Touches every value and every weight.
func readEverything(_ checkpoint: Checkpoint) throws {
    guard case .gguf(let gguf) = checkpoint.source else { return }
    for key in gguf.metadata.keys {
        if case .array(let array) = gguf.metadata[key] {
            _ = array.strings?.reduce(0) { $0 + $1.count }
            _ = array.integers
            _ = array.numbers
            _ = array.booleans
        }
    }
    for name in checkpoint.tensorNames { _ = try checkpoint.tensor(name).dequantized() }
}

extension MalformedFile {
    static let structure: [MalformedFile] = [
        .init("wrong magic", "is not a GGUF file") { $0.magic = Array("GGML".utf8) },
        .init("byte-swapped magic", "is not a GGUF file") { $0.magic = Array("FUGG".utf8) },
        .init("version 0", "version 0 is unknown") { $0.version = 0 },
        .init("version 1", "version 1 is not supported") { $0.version = 1 },
        .init("version 4", "version 4 is unknown") { $0.version = 4 },
        .init("big endian", "big-endian") { $0.version = 0x0300_0000 },
        .init("2^64 - 1 tensors", "more than the limit") { $0.claimedTensors = .max },
        .init("2^63 tensors", "more than the limit") { $0.claimedTensors = 1 << 63 },
        .init("more tensors than the limit", "more than the limit of 100000") { $0.claimedTensors = 100_001 },
        .init("more tensors than bytes", "bytes follow") { $0.claimedTensors = 99_999 },
        .init("one tensor too many", "") { $0.claimedTensors = UInt64($0.tensors.count) + 1 },
        .init("2^64 - 1 metadata entries", "more than the limit") { $0.claimedEntries = .max },
        .init("more metadata entries than bytes", "bytes follow") { $0.claimedEntries = 65_536 },
        .init("one metadata entry too many", "") { $0.claimedEntries = UInt64($0.entries.count) + 1 },
        .init("one metadata entry too few", "") { $0.claimedEntries = UInt64($0.entries.count) - 1 },
        .init("alignment 0", "not a power of two") { $0.set("general.alignment", UInt32(0)) },
        .init("alignment 3", "not a power of two") { $0.set("general.alignment", UInt32(3)) },
        .init("alignment 4", "not a power of two from 8") { $0.set("general.alignment", UInt32(4)) },
        .init("alignment 48", "not a power of two") { $0.set("general.alignment", UInt32(48)) },
        .init("alignment 2^31", "not a power of two from 8 to 65536") {
            $0.set("general.alignment", UInt32(1) << 31)
        },
        .init("alignment -32", "not a power of two") { $0.set("general.alignment", 5, Int32(-32).bytes) },
        .init("alignment as a string", "is a string, not an integer") { $0.set("general.alignment", "32") },
        .init("alignment beyond the file", "file truncated") { $0.set("general.alignment", UInt32(65536)) },
    ]

    static let metadata: [MalformedFile] = [
        .init("duplicate key", "key 'general.architecture': is there twice") { $0.entries.append($0.entries[0]) },
        .init("key that is not UTF-8", "a metadata key is not valid UTF-8") { $0.entries[3].key = [0xC3, 0x28] },
        .init("key with an overlong encoding", "not valid UTF-8") { $0.entries[3].key = [0xC0, 0x80] },
        .init("key of 65,536 bytes", "more than the limit of 65535") {
            $0.entries[3].key = [UInt8](repeating: 97, count: 65536)
        },
        .init("value type 13", "value type 13 is unknown") { $0.set("x", 13, [0, 0, 0, 0, 0, 0, 0, 0]) },
        .init("value type 2^32 - 1", "value type 4294967295 is unknown") { $0.set("x", .max, []) },
        .init("boolean 2", "neither 0 nor 1") { $0.set("x", 7, [2]) },
        .init("boolean 255 in an array", "neither 0 nor 1") { $0.set("x", array: 7, count: 3, [0, 1, 255]) },
        .init("string of 2^63 bytes", "key 'x': a string's length is 9223372036854775808") {
            $0.set("x", 8, (UInt64(1) << 63).bytes)
        },
        .init("string of 2^64 - 1 bytes", "more than the limit") { $0.set("x", 8, UInt64.max.bytes) },
        .init("string longer than the file", "bytes follow") { $0.set("x", 8, UInt64(1 << 20).bytes + [65]) },
        .init("array of arrays", "arrays of arrays are not supported") {
            $0.set("x", array: 9, count: 1, UInt32(9).bytes + UInt64(1).bytes)
        },
        .init("array bomb", "arrays of arrays are not supported") {
            $0.set("x", array: 9, count: 1 << 24, (0..<4096).flatMap { _ in UInt32(9).bytes + UInt64(1 << 24).bytes })
        },
        .init("array of 2^64 - 1 elements", "more than the limit") {
            $0.set("x", 9, UInt32(0).bytes + UInt64.max.bytes)
        },
        .init("array whose size overflows", "more than the limit") {
            $0.set("x", 9, UInt32(12).bytes + UInt64(1 << 61).bytes)
        },
        .init("array longer than the file", "bytes follow") {
            $0.set("x", 9, UInt32(10).bytes + UInt64(1 << 20).bytes)
        },
        // The file has more than 4,000 bytes, but not the 8 that each string takes at least: refused before allocating.
        .init("array of more strings than the file has room for", "an array's length is 4000, but only") {
            $0.set("x", array: 8, count: 4000, [])
        },
        .init("array of strings longer than the file", "an array's length is 1048576, but only") {
            $0.set("x", 9, UInt32(8).bytes + UInt64(1 << 20).bytes)
        },
        .init("array of an unknown type", "value type 99 is unknown") { $0.set("x", array: 99, count: 1, [0]) },
        .init("string of 2^63 bytes in an array", "a string's length") {
            $0.set("x", array: 8, count: 1, (UInt64(1) << 63).bytes)
        },
    ]

    static let tensors: [MalformedFile] = [
        .init("duplicate tensor", "tensor 'output_norm.weight': is there twice") { $0.add("output_norm.weight", [32]) },
        .init("tensor name that is not UTF-8", "a tensor's name is not valid UTF-8") {
            $0.tensors[1].name = [0xED, 0xA0, 0x80]
        },
        .init("tensor without a name", "has no name") { $0.tensors[1].name = [] },
        .init("tensor name of 257 bytes", "more than the limit of 256") {
            $0.tensors[1].name = [UInt8](repeating: 97, count: 257)
        },
        .init("no dimensions", "has 0 dimensions") { $0.tensors[1].dimensions = [] },
        .init("five dimensions", "has 5 dimensions") { $0.tensors[1].dimensions = [32, 1, 1, 1, 1] },
        .init("zero columns", "has a dimension of 0") { $0.tensors[1].dimensions = [0] },
        .init("zero rows", "has a dimension of 0") { $0.tensors[3].dimensions = [32, 0] },
        .init("dimension of 2^63", "has a dimension of 9223372036854775808") {
            $0.tensors[1].dimensions = [1 << 63]
        },
        .init("dimensions whose product overflows", "more elements than 64 bits") {
            $0.tensors[1].dimensions = [1 << 32, 1 << 32]
        },
        .init("dimensions whose product wraps to zero", "more elements than 64 bits") {
            $0.tensors[1].dimensions = [1 << 16, 1 << 16, 1 << 16, 1 << 16]
        },
        .init("size in bytes that overflows", "more bytes than 64 bits") {
            $0.tensors[1].dimensions = [1 << 31, 1 << 31]
        },
        .init("size of nearly 2^63 bytes", "file truncated") {
            $0.tensors[1].dimensions = [(1 << 61) - 1]
        },
        .init("unknown type 999", "unknown type 999") { $0.tensors[1].type = 999 },
        .init("removed type 4", "unknown type 4") { $0.tensors[1].type = 4 },
        .init("unsupported type Q2_K", "type Q2_K, which is not supported") { $0.tensors[1].type = 10 },
        .init("integer weights", "type I32, which is not supported as a weight") { $0.tensors[1].type = 26 },
        .init("double weights", "type F64, which is not supported as a weight") { $0.tensors[1].type = 28 },
        .init("Q4_0 rows of 48", "has rows of 48 elements, not a multiple of Q4_0's 32") {
            $0.tensors[3].dimensions = [48, 32]
        },
        .init("Q6_K rows of 32", "has rows of 32 elements, not a multiple of Q6_K's 256") { $0.tensors[3].type = 14 },
        .init("misaligned offset", "not a multiple of the alignment 32") { $0.tensors[1].offset = 8 },
        .init("offset of 2^64 - 32", "file truncated") { $0.tensors[1].offset = .max - 31 },
        .init("offset of 2^63", "file truncated") { $0.tensors[1].offset = 1 << 63 },
        .init("offset of 2^63 - 32", "file truncated") { $0.tensors[1].offset = 1 << 63 - 32 },
        .init("offset beyond the file", "file truncated") { $0.tensors[1].offset = 1 << 20 },
        .init("tensor that ends beyond the file", "file truncated") { $0.tensors[1].dimensions = [32, 1 << 20] },
        .init("two tensors at one place", "overlaps tensor") { $0.tensors[1].offset = 0 },
        // The embedding's 272 bytes end 16 bytes after this.
        .init("two tensors that share 16 bytes", "overlaps tensor 'token_embd.weight'") { $0.tensors[1].offset = 256 },
        .init("a tensor inside another", "overlaps tensor") { $0.tensors[10].offset = 64 },
        .init("two names for one canonical tensor", "is there twice, as 'model.norm.weight'") {
            $0.add("model.norm.weight", [32])
        },
    ]

    static let model: [MalformedFile] = [
        .init("no architecture", "key 'general.architecture': is missing") { $0.remove("general.architecture") },
        .init("architecture as a number", "is an integer, not a string") { $0.set("general.architecture", UInt32(3)) },
        .init("architecture that is not UTF-8", "is not valid UTF-8") {
            $0.set("general.architecture", 8, UInt64(2).bytes + [0xFF, 0xFE])
        },
        .init("another architecture's keys", "key 'qwen2.embedding_length': is missing") {
            $0.set("general.architecture", "qwen2")
        },
        .init("no layer count", "key 'llama.block_count': is missing") { $0.remove("llama.block_count") },
        .init("no context length", "key 'llama.context_length': is missing") { $0.remove("llama.context_length") },
        .init("no width", "key 'llama.embedding_length': is missing") { $0.remove("llama.embedding_length") },
        .init("no heads", "key 'llama.attention.head_count': is missing") { $0.remove("llama.attention.head_count") },
        .init("no feed-forward width", "'llama.feed_forward_length': is missing") {
            $0.remove("llama.feed_forward_length")
        },
        .init("no epsilon", "layer_norm_rms_epsilon': is missing") {
            $0.remove("llama.attention.layer_norm_rms_epsilon")
        },
        .init("zero heads", "is 0, not 1 to") { $0.set("llama.attention.head_count", UInt32(0)) },
        .init("zero key-value heads", "is 0, not 1 to") { $0.set("llama.attention.head_count_kv", UInt32(0)) },
        .init("zero layers", "is 0, not 1 to") { $0.set("llama.block_count", UInt32(0)) },
        .init("minus one layer", "is -1, not 1 to") { $0.set("llama.block_count", 5, Int32(-1).bytes) },
        .init("four billion layers", "is 4294967295, not 1 to") { $0.set("llama.block_count", UInt32.max) },
        .init("2^64 - 1 layers", "is 18446744073709551615, out of range") {
            $0.set("llama.block_count", 10, UInt64.max.bytes)
        },
        .init("layers as a float", "is a floating-point number, not an integer") {
            $0.set("llama.block_count", Float(1))
        },
        .init("heads that kv heads do not divide", "which does not divide the 2 query heads") {
            $0.set("llama.attention.head_count_kv", UInt32(3))
        },
        .init("heads that do not divide the width", "does not divide the width of 32") {
            $0.set("llama.attention.head_count", UInt32(3))
            $0.set("llama.attention.head_count_kv", UInt32(3))
        },
        .init("heads of one dimension", "gives heads of 1 dimensions") {
            $0.set("llama.attention.head_count", UInt32(32))
        },
        .init("heads that differ from layer to layer", "differs from layer to layer") {
            $0.set("llama.attention.head_count", array: 4, count: 2, UInt32(2).bytes + UInt32(4).bytes)
        },
        .init("an empty list of heads", "differs from layer to layer") {
            $0.set("llama.attention.head_count", array: 4, count: 0, [])
        },
        .init("keys longer than values", "not supported") {
            $0.set("llama.attention.key_length", UInt32(16))
            $0.set("llama.attention.value_length", UInt32(8))
        },
        .init("heads that do not fit the projection", "2 heads of 8 need 16") {
            $0.set("llama.attention.key_length", UInt32(8))
        },
        .init("odd rope dimensions", "an odd number") { $0.set("llama.rope.dimension_count", UInt32(7)) },
        .init("more rope dimensions than a head has", "is 18, not 1 to 16") {
            $0.set("llama.rope.dimension_count", UInt32(18))
        },
        .init("epsilon of zero", "not above 0") { $0.set("llama.attention.layer_norm_rms_epsilon", Float(0)) },
        .init("epsilon that is not a number", "not above 0") {
            $0.set("llama.attention.layer_norm_rms_epsilon", Float.nan)
        },
        .init("infinite rope base", "not above 0 and below") { $0.set("llama.rope.freq_base", Float.infinity) },
        .init("negative rope base", "not above 0") { $0.set("llama.rope.freq_base", Float(-1)) },
        .init("unknown rope scaling", "is 'longrope', which is not supported") {
            $0.set("llama.rope.scaling.type", "longrope")
        },
        .init("linear rope scaling without a factor", "key 'llama.rope.scaling.factor': is missing") {
            $0.set("llama.rope.scaling.type", "linear")
        },
        .init("no embedding", "tensor 'token_embd.weight': is missing") { $0.removeTensor("token_embd.weight") },
        .init("embedding of another width", "has shape [4, 64], not [vocabulary, 32]") {
            $0.change("token_embd.weight") { $0.dimensions = [64, 4] }
        },
        .init("embedding that is a vector", "has shape [256], not [vocabulary, 32]") {
            $0.change("token_embd.weight") { $0.dimensions = [256] }
        },
        .init("no tokens", "key 'tokenizer.ggml.tokens': is missing") { $0.remove("tokenizer.ggml.tokens") },
        .init("fewer tokens than embeddings", "has 2 entries, but the embedding has 8 rows") {
            $0.set("tokenizer.ggml.tokens", ["a", "b"])
        },
        .init("more tokens than embeddings", "has 9 entries, but the embedding has 8 rows") {
            $0.set("tokenizer.ggml.tokens", (0..<9).map { "t\($0)" })
        },
        .init("stated vocabulary that disagrees", "is 9, but the embedding has 8 rows") {
            $0.set("llama.vocab_size", UInt32(9))
        },
        .init("output layer of another vocabulary", "has 7 rows, but the embedding has 8") {
            $0.add("output.weight", [7, 32])
        },
        .init("end token beyond the vocabulary", "is 8, outside the vocabulary of 8") {
            $0.set("tokenizer.ggml.eos_token_id", UInt32(8))
        },
        .init("chat template that is not UTF-8", "is not valid UTF-8") {
            $0.set("tokenizer.chat_template", 8, UInt64(1).bytes + [0xFF])
        },
        .init("zero experts per token", "is 0, not 1 to 4") {
            $0.set("llama.expert_count", UInt32(4))
            $0.set("llama.expert_used_count", UInt32(0))
        },
        .init("more experts per token than there are", "is 5, not 1 to 4") {
            $0.set("llama.expert_count", UInt32(4))
            $0.set("llama.expert_used_count", UInt32(5))
        },
        .init("quantized bias of a permuted projection", "is a quantized bias") {
            $0.add("blk.0.attn_q.bias", [32], .q8_0)
        },
    ]
}
