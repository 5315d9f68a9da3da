import Foundation
import TestSupport

/// The built `martlet`, as a user runs it.
enum CommandLineProgram {
    struct Result {
        let status: Int32
        let output: Data
        let error: String

        var text: String { String(decoding: output, as: UTF8.self) }
        var errorLines: [Substring] { error.split(separator: "\n") }
    }

    /// It lies beside the test bundle.
    static let executable: URL? = {
        let bundle = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        let url = bundle.deletingLastPathComponent().appending(path: "martlet")
        return FileManager.default.isExecutableFile(atPath: url.path) ? url : nil
    }()

    static let model = SharedFixtures.smolLM2?.path ?? "absent.gguf"

    struct NotBuilt: Error {}

    static func run(
        _ arguments: String..., input: Data = Data(), environment: [String: String] = [:]
    ) throws -> Result {
        try run(arguments, input: input, environment: environment)
    }

    /// Runs it to its end. Standard output and error go to files, so that neither can fill up and block.
    ///
    /// - Parameters:
    ///   - environment: variables beside those of the tests.
    ///   - largestFile: bytes at which a file can grow no more: writing fails as on a full disk, with another reason.
    static func run(
        _ arguments: [String], input: Data = Data(), environment: [String: String] = [:], largestFile: Int? = nil
    ) throws -> Result {
        guard let executable else { throw NotBuilt() }
        let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-cli-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let files = ["in", "out", "err"].map { folder.appending(path: $0) }
        try input.write(to: files[0])
        try Data().write(to: files[1])
        try Data().write(to: files[2])

        let process = Process()
        process.executableURL = executable
        process.arguments = arguments
        if let largestFile {
            // In blocks of 512 bytes. Without the trap a signal would end the program.
            let script = "trap '' XFSZ; ulimit -f \(largestFile / 512); exec \"$@\""
            process.executableURL = URL(filePath: "/bin/sh")
            process.arguments = ["-c", script, "sh", executable.path] + arguments
        }
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = try FileHandle(forReadingFrom: files[0])
        process.standardOutput = try FileHandle(forWritingTo: files[1])
        process.standardError = try FileHandle(forWritingTo: files[2])
        try process.run()
        process.waitUntilExit()
        return Result(
            status: process.terminationStatus, output: try Data(contentsOf: files[1]),
            error: try String(contentsOf: files[2], encoding: .utf8))
    }
}
