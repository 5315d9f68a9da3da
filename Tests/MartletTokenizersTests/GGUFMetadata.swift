import Foundation
import MartletTokenizers

/// A reader of GGUF metadata (version 2 and 3), just enough to get at a vocabulary.
struct GGUFMetadata {
    enum Value {
        case integer(Int)
        case float(Double)
        case bool(Bool)
        case bytes([UInt8])
        case array([Value])

        var integer: Int? { if case .integer(let value) = self { value } else { nil } }
        var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
        var bytes: [UInt8]? { if case .bytes(let value) = self { value } else { nil } }
        var text: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }
        var array: [Value]? { if case .array(let value) = self { value } else { nil } }
        var float: Double? { if case .float(let value) = self { value } else { nil } }
    }

    private let data: Data
    private var offset = 0
    private(set) var values: [String: Value] = [:]

    init(_ url: URL) throws {
        data = try Data(contentsOf: url, options: .mappedIfSafe)
        guard read(UInt32.self) == 0x4655_4747 else { throw CocoaError(.fileReadCorruptFile) }
        _ = read(UInt32.self)
        _ = read(UInt64.self)
        for _ in 0..<read(UInt64.self) {
            let key = String(decoding: string(), as: UTF8.self)
            values[key] = try value(type: read(UInt32.self))
        }
    }

    private mutating func read<T>(_: T.Type) -> T {
        defer { offset += MemoryLayout<T>.size }
        return data.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: T.self) }
    }

    private mutating func string() -> [UInt8] {
        let count = Int(read(UInt64.self))
        defer { offset += count }
        return Array(data[offset..<(offset + count)])
    }

    private mutating func value(type: UInt32) throws -> Value {
        switch type {
        case 0: return .integer(Int(read(UInt8.self)))
        case 1: return .integer(Int(read(Int8.self)))
        case 2: return .integer(Int(read(UInt16.self)))
        case 3: return .integer(Int(read(Int16.self)))
        case 4: return .integer(Int(read(UInt32.self)))
        case 5: return .integer(Int(read(Int32.self)))
        case 6: return .float(Double(read(Float.self)))
        case 7: return .bool(read(UInt8.self) != 0)
        case 8: return .bytes(string())
        case 9:
            let elementType = read(UInt32.self)
            let count = Int(read(UInt64.self))
            return .array(try (0..<count).map { _ in try value(type: elementType) })
        case 10: return .integer(Int(read(UInt64.self)))
        case 11: return .integer(Int(read(Int64.self)))
        case 12: return .float(read(Double.self))
        default: throw CocoaError(.fileReadCorruptFile)
        }
    }

    /// The vocabulary as Martlet's GGUF reader hands it on.
    var vocabulary: GGUFVocabulary {
        func value(_ name: String) -> Value? { values["tokenizer.ggml.\(name)"] }
        var result = GGUFVocabulary(
            model: value("model")?.text ?? "", pre: value("pre")?.text,
            tokens: value("tokens")?.array?.compactMap(\.bytes) ?? [])
        result.tokenTypes = value("token_type")?.array?.compactMap { $0.integer.map(Int32.init) } ?? []
        result.scores = value("scores")?.array?.compactMap { $0.float.map(Float.init) } ?? []
        result.merges = value("merges")?.array?.compactMap(\.bytes) ?? []
        result.addBOS = value("add_bos_token")?.bool
        result.addEOS = value("add_eos_token")?.bool
        result.addSpacePrefix = value("add_space_prefix")?.bool
        result.bos = value("bos_token_id")?.integer
        result.eos = value("eos_token_id")?.integer
        result.eot = value("eot_token_id")?.integer
        result.unknown = value("unknown_token_id")?.integer
        result.padding = value("padding_token_id")?.integer
        return result
    }
}
