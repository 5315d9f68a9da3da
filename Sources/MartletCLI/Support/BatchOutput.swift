import Foundation
import MartletJinja
import MartletServer

/// The output of `martlet batch`: a line for every request, in the order in which they are done.
///
/// A line is written in one piece as soon as its request is done, so a run that was killed goes on where it stood.
final class BatchOutput {
    private struct Key: Hashable {
        let id: String
        let customID: String?
    }

    private let path: String
    private let descriptor: Int32
    private var done: Set<Key> = []

    /// Opens the file, and finds what is in it from an earlier run.
    ///
    /// - Throws: `CommandFailure` if it can't be written, or if it holds something else.
    init(path: String) throws {
        self.path = path
        descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw CommandFailure("cannot write \(path): \(String(cString: strerror(errno)))") }
        var whole = 0
        let lines = try LineFile(path: path, limit: .max)
        while let line = try lines.next() {
            guard case .bytes(let bytes) = line else { continue }
            guard let result = try? Value(strictJSON: bytes), let id = result["id"]?.asString, result["response"] != nil
            else {
                // The end of a file that a crash or a full disk left behind may be half a line.
                if lines.position == lines.size, Self.isBeginning(bytes) { break }
                throw CommandFailure("\(path) is not the output of a batch: remove it, or write to another file")
            }
            done.insert(Key(id: id, customID: result["custom_id"]?.asString))
            whole = lines.position
        }
        if whole < lines.size, ftruncate(descriptor, off_t(whole)) != 0 {
            throw CommandFailure("cannot write \(path): \(String(cString: strerror(errno)))")
        }
        try endLine(at: whole)
    }

    deinit { close(descriptor) }

    /// Whether an earlier run did this line.
    func contains(line: Int, customID: String?) -> Bool {
        done.contains(Key(id: BatchResult.id(line: line), customID: customID))
    }

    func append(_ result: BatchResult) throws { try write(try result.json.json() + "\n") }

    /// Whether bytes are how one of our lines begins.
    private static func isBeginning(_ bytes: [UInt8]) -> Bool {
        let start = Array("{\"id\":\"batch_req_".utf8)
        return bytes.starts(with: start) || start.starts(with: bytes)
    }

    /// The last line may be whole and lack its newline.
    private func endLine(at end: Int) throws {
        var last: UInt8 = 0
        if end > 0, pread(descriptor, &last, 1, off_t(end - 1)) == 1, last != UInt8(ascii: "\n") { try write("\n") }
    }

    private func write(_ text: String) throws {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if written > 0 {
                rest = rest.dropFirst(written)
            } else if errno != EINTR {
                throw CommandFailure("cannot write \(path): \(String(cString: strerror(errno)))")
            }
        }
    }
}
