import MartletJSON

/// libFuzzer's entry: the bytes are opened as a safetensors file, and whatever opens is read whole. They are read as JSON
/// too, which is what the other files of a model's folder are.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzSafetensors(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = UnsafeBufferPointer(start: start, count: count)
    do {
        let file = try Safetensors(file: MappedFile(contents: bytes, path: "fuzz.safetensors"))
        for descriptor in file.tensors {
            readTensor(
                try StoredTensor(name: descriptor.name, descriptor: descriptor, file: file.file, rowOrder: .identity))
        }
    } catch {
        // Every error is a CheckpointError (typed throws); its message must not trap either.
        precondition(!"\(error)".isEmpty)
    }
    do {
        consume(try JSONValue(parsing: Array(bytes)).kind.utf8.count)
    } catch {
        precondition(!"\(error)".isEmpty)
    }
    return 0
}
