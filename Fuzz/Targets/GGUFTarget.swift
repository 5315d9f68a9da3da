import TestSupport

@testable import MartletCheckpoints

extension FuzzTarget {
    /// The bytes are opened as a GGUF file, and whatever opens is read whole.
    static let gguf = FuzzTarget(name: "gguf", longest: 16384) {
        var scalars = GGUFBuilder.llama()
        scalars.set("tokenizer.ggml.scores", array: 6, count: 8, [UInt8](repeating: 0, count: 32))
        scalars.set("llama.rope.scaling.type", "yarn")
        var matrices = GGUFBuilder()
        for type in [TensorType.q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .f16, .bf16, .f32] {
            matrices.add("\(type)", [2, 64], type)
        }
        var blocks = GGUFBuilder()
        for type in [TensorType.q4_K, .q5_K, .q6_K] { blocks.add("\(type)", [1, 256], type) }
        return [GGUFBuilder.llama().build(), scalars.build(), matrices.build(), blocks.build()]
    } read: { bytes in
        do {
            let gguf = try GGUF(file: MappedFile(contents: bytes, path: "fuzz.gguf"))
            readMetadata(gguf)
            for descriptor in gguf.tensors {
                readTensor(
                    try StoredTensor(
                        name: descriptor.name, descriptor: descriptor, file: gguf.file, rowOrder: .identity))
            }
            let checkpoint = try Checkpoint(gguf: gguf)
            for name in checkpoint.tensorNames { readTensor(try checkpoint.tensor(name)) }
        } catch {
            // Every error is a CheckpointError (typed throws); its message must not trap either.
            precondition(!"\(error)".isEmpty)
        }
    }
}

private func readMetadata(_ gguf: GGUF) {
    for key in gguf.metadata.keys {
        switch gguf.metadata[key] {
        case .string(let string): consume(string.withBytes { $0.reduce(0) { $0 &+ Int($1) } })
        case .array(let array):
            for string in array.strings ?? GGUF.StringArray(file: gguf.file, offsets: []) {
                consume(string.withBytes { $0.reduce(0) { $0 &+ Int($1) } })
            }
            consume(array.integers?.count ?? array.numbers?.count ?? array.booleans?.count ?? 0)
        default: break
        }
    }
}
