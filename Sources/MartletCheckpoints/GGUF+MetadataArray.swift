extension GGUF {
    /// A string of the file, left where it is: any bytes, not necessarily UTF-8.
    package struct ByteString: Sendable {
        let file: MappedFile
        let range: Range<Int>

        package var count: Int { range.count }
        /// A copy of the bytes.
        package var bytes: [UInt8] { Array(file.bytes[range]) }
        /// The text, or nil where the bytes are not UTF-8.
        package var string: String? { String(validating: file.bytes[range], as: UTF8.self) }

        /// The bytes in place, valid during the call.
        package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
            try withExtendedLifetime(file) { try body(UnsafeRawBufferPointer(rebasing: file.bytes[range])) }
        }
    }

    /// An array of the file, left where it is. Arrays of arrays are refused: no known key has them, and they would allow
    /// deep nesting.
    package struct MetadataArray: Sendable {
        package let elementType: ValueType
        package let count: Int
        let file: MappedFile
        /// Where the first element starts.
        let start: Int
        /// Of strings only: where the bytes of each start. The length stands in the 8 bytes before.
        let stringOffsets: [Int]
    }

    /// The strings of an array: a vocabulary of 250,000 entries costs 2 MB of offsets and no string.
    package struct StringArray: RandomAccessCollection, Sendable {
        let file: MappedFile
        let offsets: [Int]

        package var startIndex: Int { 0 }
        package var endIndex: Int { offsets.count }
        package subscript(index: Int) -> ByteString {
            let start = offsets[index]
            let length = UInt64(littleEndian: file.bytes.loadUnaligned(fromByteOffset: start - 8, as: UInt64.self))
            return ByteString(file: file, range: start..<start + Int(length))
        }
    }
}

extension GGUF.MetadataArray {
    init(reading cursor: inout ByteCursor) throws(CheckpointError) {
        let type = try GGUF.ValueType(reading: &cursor)
        guard type != .array else { throw cursor.failure("arrays of arrays are not supported") }
        let count = try cursor.count(
            "an array's length", limit: GGUF.Limits.arrayCount, elementSize: type.minimumSize)
        let start = cursor.position
        var offsets: [Int] = []
        if type == .string {
            // At most the bytes that follow: `count` has been checked against them.
            offsets.reserveCapacity(count)
            for _ in 0..<count {
                let range = try cursor.string("a string's length", limit: GGUF.Limits.stringLength)
                offsets.append(range.lowerBound)
            }
        } else {
            // No overflow: count ≤ remaining / size.
            let range = try cursor.take(count * type.minimumSize, "an array")
            if type == .boolean, !cursor.file.bytes[range].allSatisfy({ $0 <= 1 }) {
                throw cursor.failure("a boolean is neither 0 nor 1")
            }
        }
        self.init(elementType: type, count: count, file: cursor.file, start: start, stringOffsets: offsets)
    }

    /// The elements if they are strings.
    package var strings: GGUF.StringArray? {
        elementType == .string ? GGUF.StringArray(file: file, offsets: stringOffsets) : nil
    }

    /// The elements if they are integers that fit.
    package var integers: [Int]? {
        switch elementType {
        case .uint8: convert(UInt8.self) { Int($0) }
        case .int8: convert(Int8.self) { Int($0) }
        case .uint16: convert(UInt16.self) { Int($0) }
        case .int16: convert(Int16.self) { Int($0) }
        case .uint32: convert(UInt32.self) { Int($0) }
        case .int32: convert(Int32.self) { Int($0) }
        case .uint64: convert(UInt64.self) { Int(exactly: $0) }
        case .int64: convert(Int64.self) { Int($0) }
        case .float32, .float64, .boolean, .string, .array: nil
        }
    }

    /// The elements if they are floating-point numbers or integers that fit.
    package var numbers: [Double]? {
        switch elementType {
        case .float32: convert(UInt32.self) { Double(Float(bitPattern: $0)) }
        case .float64: convert(UInt64.self) { Double(bitPattern: $0) }
        default: integers?.map(Double.init)
        }
    }

    /// The elements if they are booleans.
    package var booleans: [Bool]? {
        elementType == .boolean ? convert(UInt8.self) { $0 == 1 } : nil
    }

    private func convert<Stored: FixedWidthInteger & BitwiseCopyable, Value>(
        _: Stored.Type, _ transform: (Stored) -> Value?
    ) -> [Value]? {
        var result: [Value] = []
        result.reserveCapacity(count)
        for index in 0..<count {
            let offset = start + index * MemoryLayout<Stored>.size
            let stored = Stored(littleEndian: file.bytes.loadUnaligned(fromByteOffset: offset, as: Stored.self))
            guard let value = transform(stored) else { return nil }
            result.append(value)
        }
        return result
    }
}
