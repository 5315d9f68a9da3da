import Foundation

/// The lines of a file, one after the other: a file may be larger than memory, but no line may.
final class LineFile {
    enum Line: Equatable {
        case bytes([UInt8])
        /// Longer than the limit; the rest of it is skipped.
        case tooLong
    }

    /// Bytes in the file, and how many of them were read.
    let size: Int
    private(set) var position = 0
    private let path: String
    private let descriptor: Int32
    private let limit: Int
    private var buffer = [UInt8](repeating: 0, count: 1 << 16)
    private var unread = 0..<0

    /// - Throws: `CommandFailure` if the file can't be read.
    init(path: String, limit: Int) throws {
        self.path = path
        self.limit = limit
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw CommandFailure("cannot open \(path): \(String(cString: strerror(errno)))") }
        size = max(0, Int(lseek(descriptor, 0, SEEK_END)))
        lseek(descriptor, 0, SEEK_SET)
    }

    deinit { close(descriptor) }

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
            if errno != EINTR { throw CommandFailure("cannot read \(path): \(String(cString: strerror(errno)))") }
        }
    }
}
