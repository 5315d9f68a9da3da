import Foundation

/// The lines of a file, one after the other: a file may be larger than memory, but no line may.
final class LineFile {
    enum Line: Equatable {
        case bytes([UInt8])
        /// Longer than the limit; the rest of it is skipped.
        case tooLong

        var bytes: [UInt8]? {
            if case .bytes(let bytes) = self { bytes } else { nil }
        }
    }

    /// Bytes in the file, and how many of them were read.
    let size: Int
    private(set) var position = 0
    private let path: String
    private let descriptor: Int32
    private let limit: Int
    private var buffer = [UInt8](repeating: 0, count: 1 << 16)
    private var unread = 0..<0

    /// - Parameter path: "-" for standard input.
    /// - Throws: `CommandFailure` if the file can't be read.
    init(path: String, limit: Int) throws {
        self.path = path == "-" ? "standard input" : path
        self.limit = limit
        let file = path == "-" ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw Self.failure("cannot open \(self.path)") }
        if lseek(file, 0, SEEK_CUR) < 0 {
            defer { close(file) }
            descriptor = try Self.spooled(file, name: self.path)
        } else {
            descriptor = file
        }
        size = max(0, Int(lseek(descriptor, 0, SEEK_END)))
        lseek(descriptor, 0, SEEK_SET)
    }

    /// A pipe's bytes in a file without a name, so that they can be read again.
    private static func spooled(_ pipe: Int32, name: String) throws -> Int32 {
        guard let file = tmpfile() else { throw failure("cannot create a temporary file") }
        defer { fclose(file) }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(pipe, &buffer, buffer.count)
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                throw failure("cannot read \(name)")
            }
            guard fwrite(buffer, 1, count, file) == count else { throw failure("cannot write a temporary file") }
        }
        guard fflush(file) == 0 else { throw failure("cannot write a temporary file") }
        return dup(fileno(file))
    }

    private static func failure(_ what: String) -> CommandFailure {
        CommandFailure("\(what): \(String(cString: strerror(errno)))")
    }

    deinit { close(descriptor) }

    /// Back to the first line.
    func rewind() {
        lseek(descriptor, 0, SEEK_SET)
        position = 0
        unread = 0..<0
    }

    /// The next line without its newline; nil behind the last.
    func next() throws -> Line? {
        var line: [UInt8] = []
        var isTooLong = false
        while true {
            if unread.isEmpty {
                unread = 0..<(try fill())
                if unread.isEmpty {
                    if isTooLong { return .tooLong }
                    return line.isEmpty ? nil : .bytes(line)
                }
            }
            let end = buffer[unread].firstIndex(of: UInt8(ascii: "\n"))
            let part = unread.lowerBound..<(end ?? unread.upperBound)
            if line.count + part.count > limit { isTooLong = true }
            if isTooLong { line = [] } else { line += buffer[part] }
            unread = (end.map { $0 + 1 } ?? unread.upperBound)..<unread.upperBound
            position += part.count + (end == nil ? 0 : 1)
            if end != nil { return isTooLong ? .tooLong : .bytes(line) }
        }
    }

    private func fill() throws -> Int {
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count >= 0 { return count }
            if errno != EINTR { throw Self.failure("cannot read \(path)") }
        }
    }
}
