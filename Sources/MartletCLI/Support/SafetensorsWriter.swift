import Foundation

/// Writes one float32 matrix as a safetensors file, a few rows at a time: the matrix need not fit in memory.
/// Format: https://huggingface.co/docs/safetensors (8-byte little-endian header length, JSON header, data).
final class SafetensorsWriter {
    private let path: String
    private let partialPath: String
    private let descriptor: Int32
    private var remaining: Int

    /// The file gets its name when it is complete; until then it is `path` with ".partial".
    init(path: String, tensor: String, rows: Int, columns: Int) throws {
        self.path = path
        partialPath = path + ".partial"
        remaining = rows * columns
        descriptor = open(partialPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw Self.failure("cannot create", partialPath) }
        try Self.header(tensor: tensor, rows: rows, columns: columns).withUnsafeBytes(write)
    }

    deinit {
        close(descriptor)
        if remaining >= 0 { unlink(partialPath) }
    }

    /// Header length and header. Spaces at its end align the data to 8 bytes.
    static func header(tensor: String, rows: Int, columns: Int) -> [UInt8] {
        let json =
            "{\"\(tensor)\":{\"dtype\":\"F32\",\"shape\":[\(rows),\(columns)],\"data_offsets\":[0,\(rows * columns * 4)]}}"
        var body = Array(json.utf8)
        while body.count % 8 != 0 { body.append(UInt8(ascii: " ")) }
        let length = UInt64(body.count)
        return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * UInt64($0))) } + body
    }

    func append(_ values: UnsafeBufferPointer<Float>) throws {
        precondition(values.count <= remaining, "more values than the header says")
        #if _endian(little)
            try write(UnsafeRawBufferPointer(values))
        #else
            try values.map { $0.bitPattern.littleEndian }.withUnsafeBytes(write)
        #endif
        remaining -= values.count
    }

    /// Gives the file its name.
    func finish() throws {
        precondition(remaining == 0, "fewer values than the header says")
        guard rename(partialPath, path) == 0 else { throw Self.failure("cannot create", path) }
        remaining = -1
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes[...]
        while let base = bytes.baseAddress, !rest.isEmpty {
            let written = Foundation.write(descriptor, base + rest.startIndex, rest.count)
            if written > 0 {
                rest = rest.dropFirst(written)
            } else if errno != EINTR {
                throw Self.failure("cannot write", partialPath)
            }
        }
    }

    private static func failure(_ action: String, _ path: String) -> CommandFailure {
        CommandFailure("\(action) \(path): \(String(cString: strerror(errno)))")
    }
}
