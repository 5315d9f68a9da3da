import Foundation
import MartletJinja
import MartletServer

/// The output of `martlet batch`: a line for every request, in the order in which they are done.
///
/// A line is written in one piece as soon as its request is done, so a run that was killed goes on where it stood.
final class BatchOutput {
    /// What a line of an earlier run is to this one.
    private enum Fate {
        /// The answer to one of its requests.
        case kept
        /// The answer to another request, or of another model.
        case moved
        /// An error, or half a line.
        case dropped
    }

    /// Answers of an earlier run that are none to this one's requests, and where they are now.
    let movedCount: Int
    let movedPath: String
    private let file: OutputFile
    private let done: Set<String>

    /// Opens the file, and keeps of an earlier run what answers this one's requests. Other answers are moved to the end of
    /// a file with ".old" behind its name: somebody may have waited for them for a night.
    ///
    /// - Parameter wanted: the ids of this run's requests; called only where an earlier run left something.
    /// - Throws: `CommandFailure` if it can't be written, or if it holds something else.
    init(path: String, wanted: () throws -> Set<String>) throws {
        // A pipe holds nothing yet, and a link to a file stays one.
        let isFile = InputFile.isRegular(path)
        let path = isFile ? URL(filePath: path).resolvingSymlinksInPath().path : path
        movedPath = path + ".old"
        if isFile {
            let lines = try LineFile(path: path, limit: .max)
            let (fates, ids, isWhole) = try Self.examine(lines, path: path, wanted: lines.size > 0 ? wanted() : [])
            if !isWhole || fates.contains(where: { $0 != .kept }) {
                lines.rewind()
                try Self.rewrite(lines, fates, path: path, movedPath: movedPath)
            }
            done = ids
            movedCount = fates.count { $0 == .moved }
        } else {
            done = []
            movedCount = 0
        }
        file = try OutputFile(path: path, appending: true)
    }

    /// Whether an earlier run answered this request.
    func contains(_ id: String) -> Bool { done.contains(id) }

    func append(_ result: BatchResult) throws { try file.write(Array((try result.json.json() + "\n").utf8)) }

    // MARK: An earlier run

    /// - Returns: what becomes of the lines, the ids of those that are kept, and whether the last line has its newline.
    private static func examine(
        _ lines: LineFile, path: String, wanted: Set<String>
    ) throws -> (fates: [Fate], done: Set<String>, isWhole: Bool) {
        var fates: [Fate] = []
        var done: Set<String> = []
        var length = 0
        while case .bytes(let bytes)? = try lines.next() {
            length += bytes.count + 1
            guard let result = try? Value(strictJSON: bytes), result["id"]?.asString != nil,
                let response = result["response"]
            else {
                // The end of a file that a crash or a full disk left behind may be half a line.
                guard lines.position == lines.size, isBeginning(bytes) else {
                    throw CommandFailure("\(path) is not the output of a batch: remove it, or write to another file")
                }
                fates.append(.dropped)
                continue
            }
            if response["status_code"]?.integer != 200 {
                fates.append(.dropped)
            } else if let id = response["request_id"]?.asString, wanted.contains(id), done.insert(id).inserted {
                fates.append(.kept)
            } else {
                fates.append(.moved)
            }
        }
        return (fates, done, length == lines.size)
    }

    /// Whether bytes are how one of our lines begins.
    private static func isBeginning(_ bytes: [UInt8]) -> Bool {
        let start = Array("{\"id\":\"batch_req_".utf8)
        return bytes.starts(with: start) || start.starts(with: bytes)
    }

    private static func rewrite(_ lines: LineFile, _ fates: [Fate], path: String, movedPath: String) throws {
        // Whoever may read the answers is who could before.
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int ?? 0o600
        let kept = try OutputFile(path: path + ".new", appending: false, mode: mode)
        let moved = fates.contains(.moved) ? try OutputFile(path: movedPath, appending: true, mode: mode) : nil
        for fate in fates {
            guard case .bytes(let bytes)? = try lines.next() else { break }
            switch fate {
            case .kept: try kept.write(bytes + [UInt8(ascii: "\n")])
            case .moved: try moved?.write(bytes + [UInt8(ascii: "\n")])
            case .dropped: break
            }
        }
        try kept.synchronize()
        try moved?.synchronize()
        guard rename(path + ".new", path) == 0 else {
            throw CommandFailure("cannot write \(path): \(String(cString: strerror(errno)))")
        }
    }
}

/// A file that grows at its end.
private final class OutputFile {
    private let path: String
    private let descriptor: Int32

    /// - Parameter mode: of a file that is not there yet.
    init(path: String, appending: Bool, mode: Int = 0o644) throws {
        self.path = path
        let flags = O_WRONLY | O_CREAT | O_CLOEXEC | (appending ? O_APPEND : O_TRUNC)
        descriptor = open(path, flags, mode_t(mode))
        guard descriptor >= 0 else { throw failure() }
    }

    deinit { close(descriptor) }

    func write(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if written > 0 {
                rest = rest.dropFirst(written)
            } else if errno != EINTR {
                throw failure()
            }
        }
    }

    /// Waits until the disk has it.
    func synchronize() throws {
        guard fsync(descriptor) == 0 else { throw failure() }
    }

    private func failure() -> CommandFailure {
        CommandFailure("cannot write \(path): \(String(cString: strerror(errno)))")
    }
}
