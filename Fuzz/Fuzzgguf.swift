/// libFuzzer's entry: the bytes are opened as a GGUF file, and whatever opens is read whole.
///
/// The sources of MartletCheckpoints are compiled into this module, with AddressSanitizer. The file's bytes are a heap copy
/// of exactly their length, so a read past their end is seen; arithmetic overflow, bad indices and failed preconditions trap.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzGGUF(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = UnsafeBufferPointer(start: start, count: count)
    do {
        let gguf = try GGUF(file: MappedFile(contents: bytes, path: "fuzz.gguf"))
        readMetadata(gguf)
        for descriptor in gguf.tensors {
            readTensor(
                try StoredTensor(name: descriptor.name, descriptor: descriptor, file: gguf.file, rowOrder: .identity))
        }
        let checkpoint = try Checkpoint(gguf: gguf)
        for name in checkpoint.tensorNames { readTensor(try checkpoint.tensor(name)) }
    } catch {
        // Every error is a CheckpointError (typed throws); its message must not trap either.
        precondition(!"\(error)".isEmpty)
    }
    return 0
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
