import Foundation

/// The process's input and outputs, without buffering: a streamed answer appears as it is generated.
enum StandardStream: Int32 {
    case input = 0
    case output = 1
    case error = 2

    var isTerminal: Bool { isatty(rawValue) == 1 }

    /// Where it isn't a terminal: whether what it gives ends, unlike a socket.
    ///
    /// Not by `fstat`: which module `stat` belongs to depends on what else is imported.
    var isPipeOrFile: Bool {
        var length: socklen_t = 0
        if lseek(rawValue, 0, SEEK_CUR) >= 0 { return true }
        return getsockname(rawValue, nil, &length) != 0 && errno == ENOTSOCK
    }

    /// - Throws: `CommandFailure` if the bytes cannot be written (a full disk; a closed pipe ends the process before).
    func write(_ text: String) throws {
        var text = text
        try text.withUTF8 { try write($0) }
    }

    private func write(_ bytes: UnsafeBufferPointer<UInt8>) throws {
        var rest = bytes[...]
        while let base = bytes.baseAddress, !rest.isEmpty {
            let written = Foundation.write(rawValue, base + rest.startIndex, rest.count)
            if written > 0 {
                rest = rest.dropFirst(written)
            } else if errno != EINTR && errno != EAGAIN {
                throw CommandFailure("cannot write to standard \(self): \(String(cString: strerror(errno)))")
            }
        }
    }

    /// Everything up to the end of the input.
    ///
    /// - Throws: `CommandFailure` if it cannot be read or is larger than `limit` bytes.
    func readAll(limit: Int = InputFile.largest) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(rawValue, &buffer, buffer.count)
            if count == 0 { return bytes }
            if count < 0 {
                if errno == EINTR { continue }
                throw CommandFailure("cannot read standard input: \(String(cString: strerror(errno)))")
            }
            bytes += buffer[..<count]
            if bytes.count > limit { throw CommandFailure("standard input has more than \(limit >> 20) MiB") }
        }
    }
}

/// Files that the user names as input: texts, lists of tokens, conversations.
enum InputFile {
    /// Far above any text that a model could read in a day.
    static let largest = 256 << 20

    /// The bytes of a file, or of standard input for "-".
    static func read(_ path: String) throws -> [UInt8] {
        path == "-" ? try StandardStream.input.readAll() : try readFile(path, limit: largest)
    }

    /// - Throws: `CommandFailure` if it cannot be read or is larger than `limit` bytes.
    static func readFile(_ path: String, limit: Int) throws -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw CommandFailure("cannot open \(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = Foundation.read(descriptor, &buffer, buffer.count)
            if count == 0 { return bytes }
            guard count > 0 else {
                if errno == EINTR { continue }
                throw CommandFailure("cannot read \(path): \(String(cString: strerror(errno)))")
            }
            bytes += buffer[..<count]
            if bytes.count > limit { throw CommandFailure("\(path) has more than \(limit >> 20) MiB") }
        }
    }

    /// Whether there is a file that keeps what is written to it: no folder, pipe or device.
    static func isRegular(_ path: String) -> Bool {
        let file = URL(filePath: path).resolvingSymlinksInPath().path
        return (try? FileManager.default.attributesOfItem(atPath: file))?[.type] as? FileAttributeType == .typeRegular
    }

    static func readText(_ path: String) throws -> String { String(decoding: try read(path), as: UTF8.self) }
}
