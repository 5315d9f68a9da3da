import Foundation

/// Writes a safetensors file of many tensors, one after the other: none of them need be in memory together.
/// Format: https://huggingface.co/docs/safetensors (8-byte little-endian header length, JSON header, data).
struct TensorFileWriter {
    struct Entry: Sendable, Equatable {
        let name: String
        let type: String
        let shape: [Int]
        let byteCount: Int
    }

    /// Writes `entries` in this order.
    ///
    /// - Parameter bytes: gives the bytes of each, `byteCount` of them; called once per entry, in order.
    /// - Throws: what `bytes` throws, or `QuantizationError` where the disk refuses.
    static func write(_ entries: [Entry], to url: URL, bytes: (Entry) throws -> [UInt8]) throws {
        guard FileManager.default.createFile(atPath: url.path, contents: nil) else {
            throw QuantizationError("cannot create \(url.path): \(String(cString: strerror(errno)))")
        }
        let handle = try FileHandle(forWritingTo: url)
        defer { try? handle.close() }
        let header = try header(entries)
        try QuantizationError.naming(url) { try handle.write(contentsOf: header) }
        for entry in entries {
            let data = try bytes(entry)
            precondition(data.count == entry.byteCount)
            try QuantizationError.naming(url) { try handle.write(contentsOf: data) }
        }
        try QuantizationError.naming(url) { try handle.synchronize() }
    }

    static func write(_ tensors: [OutputTensor], to url: URL) throws {
        let byName = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.bytes) })
        let entries = tensors.map {
            Entry(name: $0.name, type: $0.type, shape: $0.shape, byteCount: $0.bytes.count)
        }
        try write(entries, to: url) { byName[$0.name] ?? [] }
    }

    private static func header(_ entries: [Entry]) throws -> Data {
        var offset = 0
        let members = try entries.map { entry in
            defer { offset += entry.byteCount }
            let name = String(decoding: try JSONEncoder().encode(entry.name), as: UTF8.self)
            return "\(name):{\"dtype\":\"\(entry.type)\",\"shape\":\(entry.shape),"
                + "\"data_offsets\":[\(offset),\(offset + entry.byteCount)]}"
        }
        // transformers wants to know whose tensors these are; spaces at the end align the data to 8 bytes.
        var json = "{\"__metadata__\":{\"format\":\"pt\"}" + members.map { "," + $0 }.joined() + "}"
        json += String(repeating: " ", count: (8 - json.utf8.count % 8) % 8)
        return withUnsafeBytes(of: UInt64(json.utf8.count).littleEndian) { Data($0) } + Data(json.utf8)
    }
}
