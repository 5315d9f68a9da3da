/// Reads little-endian values one after the other and never past the end: what is missing is a thrown error.
struct ByteCursor {
    let file: MappedFile
    /// Offset of the next byte, never beyond the file's size.
    private(set) var position = 0

    init(_ file: MappedFile) { self.file = file }

    var remaining: Int { file.bytes.count - position }

    /// The next integer, in the file's byte order.
    mutating func integer<Value: FixedWidthInteger & BitwiseCopyable>(
        _ type: Value.Type = Value.self, _ what: StaticString
    ) throws(CheckpointError) -> Value {
        let range = try take(MemoryLayout<Value>.size, what)
        return Value(littleEndian: file.bytes.loadUnaligned(fromByteOffset: range.lowerBound, as: Value.self))
    }

    /// A 64-bit count that may not exceed `limit`, nor what the rest of the file can hold at `elementSize` bytes each.
    mutating func count(
        _ what: StaticString, limit: Int, elementSize: Int
    ) throws(CheckpointError) -> Int {
        let value = try integer(UInt64.self, what)
        guard let count = Int(exactly: value), count <= limit else {
            throw failure("\(what) is \(value), more than the limit of \(limit)")
        }
        guard count <= remaining / elementSize else {
            throw failure("\(what) is \(count), but only \(remaining) bytes follow (file truncated?)")
        }
        return count
    }

    /// The byte range of a string: a 64-bit length, then the bytes.
    mutating func string(_ what: StaticString, limit: Int) throws(CheckpointError) -> Range<Int> {
        let length = try count(what, limit: limit, elementSize: 1)
        return try take(length, what)
    }

    /// The byte range of a string that must be UTF-8, and its text.
    mutating func text(_ what: StaticString, limit: Int) throws(CheckpointError) -> String {
        let range = try string(what, limit: limit)
        guard let text = String(validating: file.bytes[range], as: UTF8.self) else {
            throw failure("\(what) is not valid UTF-8")
        }
        return text
    }

    /// Steps over `count` bytes and returns where they are.
    mutating func take(_ count: Int, _ what: StaticString) throws(CheckpointError) -> Range<Int> {
        guard count >= 0, count <= remaining else {
            throw failure("\(what) needs \(count) bytes, but only \(remaining) follow (file truncated?)")
        }
        defer { position += count }
        return position..<position + count
    }

    /// An error that says where in the file the cursor stands.
    func failure(_ reason: String) -> CheckpointError {
        CheckpointError(file: file.path, reason: "\(reason) at byte \(position)")
    }
}
