public import Foundation

/// The tensors of a fixture's `ref.safetensors`: trusted files, read whole.
public struct ReferenceTensors {
    private struct Entry: Decodable {
        let dtype: String
        let shape: [Int]
        let offsets: [Int]

        enum CodingKeys: String, CodingKey {
            case dtype, shape
            case offsets = "data_offsets"
        }
    }

    public struct Absent: Error {
        let name: String
    }

    private let data: Data
    private var entries: [String: Entry] = [:]

    public init(_ url: URL) throws {
        let file = try Data(contentsOf: url)
        let length = file.withUnsafeBytes { Int($0.loadUnaligned(as: UInt64.self)) }
        let header = try JSONSerialization.jsonObject(with: file.subdata(in: 8..<8 + length)) as? [String: Any]
        for (name, value) in header ?? [:] where name != "__metadata__" {
            entries[name] = try JSONDecoder().decode(
                Entry.self, from: JSONSerialization.data(withJSONObject: value))
        }
        data = file.subdata(in: 8 + length..<file.count)
    }

    public var names: [String] { entries.keys.sorted() }

    /// An F32 tensor.
    public func floats(_ name: String) throws -> (values: [Float], shape: [Int]) { try read(name, "F32") }

    /// An I64 tensor.
    public func integers(_ name: String) throws -> (values: [Int64], shape: [Int]) { try read(name, "I64") }

    private func read<Element>(_ name: String, _ dtype: String) throws -> (values: [Element], shape: [Int]) {
        guard let entry = entries[name], entry.dtype == dtype else { throw Absent(name: name) }
        let values = data.subdata(in: entry.offsets[0]..<entry.offsets[1]).withUnsafeBytes { bytes in
            let elements = bytes.count / MemoryLayout<Element>.size
            return [Element](unsafeUninitializedCapacity: elements) { buffer, count in
                UnsafeMutableRawBufferPointer(buffer).copyMemory(from: bytes)
                count = elements
            }
        }
        return (values, entry.shape)
    }
}
