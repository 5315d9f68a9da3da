package import MartletCheckpoints

/// Writes GGUF files for tests, valid ones by default; every field can be made wrong.
package struct GGUFBuilder {
    package struct Entry {
        package var key: [UInt8]
        package var type: UInt32
        package var payload: [UInt8]
    }

    package struct Tensor {
        package var name: [UInt8]
        /// In file order: innermost first.
        package var dimensions: [UInt64]
        package var type: UInt32
        package var data: [UInt8]
        /// Nil for the next free place.
        package var offset: UInt64?
    }

    package var magic: [UInt8] = Array("GGUF".utf8)
    package var version: UInt32 = 3
    package var alignment = 32
    package var entries: [Entry] = []
    package var tensors: [Tensor] = []
    package var claimedTensors: UInt64?
    package var claimedEntries: UInt64?

    package init() {}

    // MARK: Metadata

    package mutating func set(_ key: String, _ type: UInt32, _ payload: [UInt8]) {
        entries.removeAll { $0.key == Array(key.utf8) }
        entries.append(Entry(key: Array(key.utf8), type: type, payload: payload))
    }
    package mutating func remove(_ key: String) { entries.removeAll { $0.key == Array(key.utf8) } }
    package mutating func set(_ key: String, _ value: UInt32) { set(key, 4, value.bytes) }
    package mutating func set(_ key: String, _ value: Float) { set(key, 6, value.bitPattern.bytes) }
    package mutating func set(_ key: String, _ value: Bool) { set(key, 7, [value ? 1 : 0]) }
    package mutating func set(_ key: String, _ value: String) { set(key, 8, Self.string(value)) }
    package mutating func set(_ key: String, _ values: [String]) { set(key, strings: values.map { Array($0.utf8) }) }
    package mutating func set(_ key: String, strings: [[UInt8]]) {
        set(key, array: 8, count: strings.count, strings.flatMap { UInt64($0.count).bytes + $0 })
    }
    package mutating func set(_ key: String, array type: UInt32, count: Int, _ elements: [UInt8]) {
        set(key, 9, type.bytes + UInt64(count).bytes + elements)
    }
    package static func string(_ text: String) -> [UInt8] { UInt64(text.utf8.count).bytes + Array(text.utf8) }

    // MARK: Tensors

    /// A tensor of `type` with the bytes 0, 1, 2, … or `data`; `shape` is outermost first.
    package mutating func add(_ name: String, _ shape: [Int], _ type: TensorType = .f32, data: [UInt8]? = nil) {
        let size = shape.dropLast().reduce(1, *) * type.rowBytes(columns: shape.last ?? 0)
        tensors.append(
            Tensor(
                name: Array(name.utf8), dimensions: shape.reversed().map(UInt64.init), type: type.ggmlType,
                data: data ?? (0..<size).map { UInt8(truncatingIfNeeded: $0) }))
    }
    package mutating func change(_ name: String, _ body: (inout Tensor) -> Void) {
        for index in tensors.indices where tensors[index].name == Array(name.utf8) { body(&tensors[index]) }
    }
    package mutating func removeTensor(_ name: String) { tensors.removeAll { $0.name == Array(name.utf8) } }

    // MARK: File

    package func build() -> [UInt8] {
        var bytes = magic + version.bytes
        bytes += (claimedTensors ?? UInt64(tensors.count)).bytes + (claimedEntries ?? UInt64(entries.count)).bytes
        for entry in entries {
            bytes += UInt64(entry.key.count).bytes + entry.key + entry.type.bytes + entry.payload
        }
        var data: [UInt8] = []
        for tensor in tensors {
            while data.count % alignment != 0 { data.append(0) }
            bytes += UInt64(tensor.name.count).bytes + tensor.name + UInt32(tensor.dimensions.count).bytes
            bytes += tensor.dimensions.flatMap(\.bytes) + tensor.type.bytes
            bytes += (tensor.offset ?? UInt64(data.count)).bytes
            data += tensor.data
        }
        while bytes.count % alignment != 0 { bytes.append(0) }
        return bytes + data
    }

    package func open() throws(CheckpointError) -> GGUF {
        try GGUF(file: MappedFile(contents: build(), path: "test.gguf"))
    }

    /// A complete, tiny Llama: width 32, 2 query heads and 1 key-value head of 16, 8 tokens, one layer.
    package static func llama(architecture: String = "llama") -> GGUFBuilder {
        var file = GGUFBuilder()
        file.set("general.architecture", architecture)
        file.set("\(architecture).block_count", UInt32(1))
        file.set("\(architecture).context_length", UInt32(64))
        file.set("\(architecture).embedding_length", UInt32(32))
        file.set("\(architecture).feed_forward_length", UInt32(64))
        file.set("\(architecture).attention.head_count", UInt32(2))
        file.set("\(architecture).attention.head_count_kv", UInt32(1))
        file.set("\(architecture).attention.layer_norm_rms_epsilon", Float(1e-5))
        file.set("\(architecture).rope.freq_base", Float(50_000))
        file.set("\(architecture).vocab_size", UInt32(8))
        file.set("tokenizer.ggml.tokens", ["a", "b", "c", "d", "e", "f", "g", "h"])
        file.set("tokenizer.ggml.bos_token_id", UInt32(1))
        file.set("tokenizer.ggml.eos_token_id", UInt32(2))
        file.add("token_embd.weight", [8, 32], .q8_0)
        file.add("output_norm.weight", [32])
        file.add("blk.0.attn_norm.weight", [32])
        file.add("blk.0.attn_q.weight", [32, 32], .q4_0)
        file.add("blk.0.attn_k.weight", [16, 32], .q4_1)
        file.add("blk.0.attn_v.weight", [16, 32], .q5_0)
        file.add("blk.0.attn_output.weight", [32, 32], .q5_1)
        file.add("blk.0.ffn_norm.weight", [32])
        file.add("blk.0.ffn_gate.weight", [64, 32], .f16)
        file.add("blk.0.ffn_up.weight", [64, 32], .bf16)
        file.add("blk.0.ffn_down.weight", [32, 64], .q4_0)
        return file
    }
}

extension FixedWidthInteger {
    /// Little endian.
    package var bytes: [UInt8] { withUnsafeBytes(of: littleEndian) { Array($0) } }
}

extension TensorType {
    /// ggml's number, written out again so that a wrong one in the reader shows.
    package var ggmlType: UInt32 {
        switch self {
        case .f32: 0
        case .f16: 1
        case .q4_0: 2
        case .q4_1: 3
        case .q5_0: 6
        case .q5_1: 7
        case .q8_0: 8
        case .q4_K: 12
        case .q5_K: 13
        case .q6_K: 14
        case .bf16: 30
        default: preconditionFailure("\(name) is no type of GGUF's")
        }
    }
}
