import MartletJSON
import TestSupport

@testable import MartletCheckpoints

extension FuzzTarget {
    /// The bytes are opened as a safetensors file, and whatever opens is read whole. They are read as JSON too, which is what
    /// the other files of a model's folder are.
    static let safetensors = FuzzTarget(name: "safetensors", longest: 8192) {
        var types = SafetensorsBuilder()
        for type in ["F64", "F32", "F16", "BF16", "F8_E4M3", "I64", "I32", "I16", "I8", "U8", "BOOL"] {
            types.add(type, [2, 3], type: type)
        }
        var shapes = SafetensorsBuilder()
        shapes.add("scalar", [])
        shapes.add("none", [0, 4], type: "F16")
        shapes.add("cube", [2, 3, 4], type: "I8")
        return [SafetensorsBuilder(), types, shapes, TinyModelFolder().weights].map { Array($0.build()) }
    } read: { bytes in
        do {
            let file = try Safetensors(file: MappedFile(contents: bytes, path: "fuzz.safetensors"))
            for descriptor in file.tensors {
                readTensor(
                    try StoredTensor(
                        name: descriptor.name, descriptor: descriptor, file: file.file, rowOrder: .identity))
            }
        } catch {
            precondition(!"\(error)".isEmpty)
        }
        do {
            consume(try JSONValue(parsing: bytes).kind.utf8.count)
        } catch {
            precondition(!"\(error)".isEmpty)
        }
    }
}
