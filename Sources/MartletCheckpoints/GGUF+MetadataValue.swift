extension GGUF {
    /// A metadata value. Widths are not kept: they say nothing that a reader needs.
    package enum MetadataValue: Sendable {
        case unsigned(UInt64)
        case signed(Int64)
        case float(Double)
        case boolean(Bool)
        case string(ByteString)
        case array(MetadataArray)

        /// For messages.
        var kind: String {
            switch self {
            case .unsigned, .signed: "an integer"
            case .float: "a floating-point number"
            case .boolean: "a boolean"
            case .string: "a string"
            case .array(let array): "an array of \(array.elementType)"
            }
        }
    }

    /// The spec's `gguf_metadata_value_type`.
    package enum ValueType: UInt32, Sendable {
        case uint8, int8, uint16, int16, uint32, int32, float32, boolean, string, array, uint64, int64, float64

        /// Bytes of one value, or of the least that a string or an array can take.
        var minimumSize: Int {
            switch self {
            case .uint8, .int8, .boolean: 1
            case .uint16, .int16: 2
            case .uint32, .int32, .float32: 4
            case .uint64, .int64, .float64, .string: 8
            case .array: 12
            }
        }
    }
}

extension GGUF.MetadataValue {
    init(reading cursor: inout ByteCursor, key: String) throws(CheckpointError) {
        do throws(CheckpointError) {
            let type = try GGUF.ValueType(reading: &cursor)
            switch type {
            case .string:
                let range = try cursor.string("a string's length", limit: GGUF.Limits.stringLength)
                self = .string(GGUF.ByteString(file: cursor.file, range: range))
            case .array:
                self = .array(try GGUF.MetadataArray(reading: &cursor))
            default:
                let range = try cursor.take(type.minimumSize, "the value")
                guard let scalar = Self(scalarAt: range.lowerBound, type: type, in: cursor.file) else {
                    throw cursor.failure("a boolean is neither 0 nor 1")
                }
                self = scalar
            }
        } catch {
            throw CheckpointError(file: error.file, key: key, reason: error.reason)
        }
    }

    /// A value of a fixed size, inside the file; nil for a boolean that is neither 0 nor 1.
    init?(scalarAt offset: Int, type: GGUF.ValueType, in file: MappedFile) {
        func load<Value: BitwiseCopyable>(_: Value.Type) -> Value {
            file.bytes.loadUnaligned(fromByteOffset: offset, as: Value.self)
        }
        switch type {
        case .uint8: self = .unsigned(UInt64(load(UInt8.self)))
        case .int8: self = .signed(Int64(load(Int8.self)))
        case .uint16: self = .unsigned(UInt64(UInt16(littleEndian: load(UInt16.self))))
        case .int16: self = .signed(Int64(Int16(littleEndian: load(Int16.self))))
        case .uint32: self = .unsigned(UInt64(UInt32(littleEndian: load(UInt32.self))))
        case .int32: self = .signed(Int64(Int32(littleEndian: load(Int32.self))))
        case .uint64: self = .unsigned(UInt64(littleEndian: load(UInt64.self)))
        case .int64: self = .signed(Int64(littleEndian: load(Int64.self)))
        case .float32: self = .float(Double(Float(bitPattern: UInt32(littleEndian: load(UInt32.self)))))
        case .float64: self = .float(Double(bitPattern: UInt64(littleEndian: load(UInt64.self))))
        case .boolean:
            let byte = load(UInt8.self)
            guard byte <= 1 else { return nil }
            self = .boolean(byte == 1)
        case .string, .array: return nil
        }
    }
}

extension GGUF.ValueType {
    init(reading cursor: inout ByteCursor) throws(CheckpointError) {
        let raw = try cursor.integer(UInt32.self, "a value type")
        guard let type = Self(rawValue: raw) else { throw cursor.failure("value type \(raw) is unknown") }
        self = type
    }
}
