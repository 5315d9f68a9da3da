import Foundation
import MartletCheckpoints
import Testing

@Suite struct MappedFileTests {
    @Test func `bytes are the file's, before and after a release`() throws {
        try withTemporaryFolder { folder in
            let contents = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            let url = folder.appending(path: "data")
            try Data(contents).write(to: url)
            let file = try MappedFile(path: url.path)
            #expect(file.size == 100_000)
            #expect(file.bytes.elementsEqual(contents))
            file.prefetch(10..<100_000)
            // Ranges that touch no whole page, and beyond the end, are harmless.
            file.release(0..<100)
            file.release(5000..<90_000)
            file.release(-5..<1_000_000)
            #expect(file.bytes.elementsEqual(contents))
        }
    }

    @Test func `what is no readable file is refused`() throws {
        try withTemporaryFolder { folder in
            let empty = folder.appending(path: "empty")
            try Data().write(to: empty)
            let pipe = folder.appending(path: "pipe")
            #expect(mkfifo(pipe.path, 0o600) == 0)
            let cases = [
                (folder.path, "is a directory"), (empty.path, "is empty"), (pipe.path, "is not a regular file"),
                (folder.appending(path: "absent").path, "No such file"), ("/dev/zero", "is not a regular file"),
                ("", "cannot be opened"),
            ]
            for (path, reason) in cases {
                let error = #expect(throws: CheckpointError.self) { try MappedFile(path: path) }
                #expect(error?.file == path)
                #expect(error?.reason.contains(reason) == true, "\(path): \(String(describing: error))")
            }
        }
    }

    /// Root reads everything.
    @Test(.enabled(if: geteuid() != 0, "permissions do not bind root"))
    func `a file without read permission is refused`() throws {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "secret")
            try Data([1]).write(to: url)
            try FileManager.default.setAttributes([.posixPermissions: 0], ofItemAtPath: url.path)
            let error = #expect(throws: CheckpointError.self) { try MappedFile(path: url.path) }
            #expect(error?.reason.contains("Permission denied") == true)
        }
    }

    @Test func `an error prints as one harmless line`() {
        let hostile = "a\u{1B}[2J\nb\u{202E}" + String(repeating: "x", count: 10_000)
        let error = CheckpointError(file: "f.gguf", tensor: hostile, reason: "is bad")
        #expect(error.description.hasPrefix("f.gguf: tensor 'a\u{FFFD}[2J\u{FFFD}b\u{FFFD}xxx"))
        #expect(error.description.hasSuffix("x…': is bad"))
        #expect(error.description.count < 400)
    }
}

func withTemporaryFolder(_ body: (URL) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder)
}
