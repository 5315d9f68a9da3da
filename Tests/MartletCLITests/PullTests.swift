import Foundation
import TestSupport
import Testing

/// `pull`, `list`, `show` and `rm` from end to end, against a hub on this machine.
@Suite(.enabled(if: CommandLineProgram.executable != nil, "the martlet executable is not beside the tests"))
struct PullTests {
    private static let commit = String(repeating: "0", count: 40)

    /// A hub with one file, whose name git gave to "hello\n".
    private func hub() throws -> LoopbackServer {
        try LoopbackServer { request in
            switch request.path {
            case "/api/models/org/repo/revision/main": return .init(text: #"{"sha": "\#(Self.commit)"}"#)
            case "/api/models/org/repo/tree/\(Self.commit)?recursive=true":
                let object = "ce013625030ba8dba906f756967f9e9ca394464a"
                return .init(text: #"[{"type": "file", "path": "m-Q8_0.gguf", "size": 6, "oid": "\#(object)"}]"#)
            case "/org/repo/resolve/\(Self.commit)/m-Q8_0.gguf": return .init(text: "hello\n")
            default: return .init(404)
            }
        }
    }

    @Test func fromTheHubAndAwayAgain() throws {
        let hub = try hub()
        let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-pull-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let environment = ["HF_ENDPOINT": hub.address, "HF_TOKEN": "", "MARTLET_MODELS": folder.path]
        let path = folder.path + "/org/repo/m-Q8_0.gguf"

        let pulled = try CommandLineProgram.run("pull", "org/repo:Q8_0", environment: environment)
        #expect(pulled.status == 0 && pulled.text == path + "\n", "\(pulled.error)")
        #expect(pulled.error.contains("6 B downloaded"))
        let again = try CommandLineProgram.run("pull", "org/repo:Q8_0", "--json", environment: environment)
        #expect(again.status == 0 && again.text.contains("\"downloaded\" : 0"))

        let list = try CommandLineProgram.run("list", environment: environment)
        let line = try #require(list.text.split(separator: "\n").first { $0.hasPrefix("| org/repo/m-Q8_0.gguf ") })
        #expect(line.contains(" 6 B |") && line.contains(path))
        // It is found, and it is no model.
        let shown = try CommandLineProgram.run("show", "org/repo", environment: environment)
        #expect(shown.status == 1 && shown.error.hasPrefix("martlet: error: \(path):"), "\(shown.error)")

        let removed = try CommandLineProgram.run("rm", "org/repo:Q8_0", environment: environment)
        #expect(removed.status == 0 && !FileManager.default.fileExists(atPath: path))
        let absent = try CommandLineProgram.run("rm", "org/repo:Q8_0", environment: environment)
        #expect(absent.status == 1 && absent.errorLines.count == 1)
    }

    @Test(arguments: [["pull"], ["pull", "repo"], ["pull", "org/repo/x.bin"], ["pull", "org/absent"], ["rm"]])
    func errorsAreOneLine(_ arguments: [String]) throws {
        let hub = try hub()
        let environment = ["HF_ENDPOINT": hub.address, "HF_TOKEN": "", "MARTLET_MODELS": "/nonexistent"]
        let result = try CommandLineProgram.run(arguments, environment: environment)
        #expect(result.status != 0 && result.output.isEmpty)
        #expect(result.errorLines.count == 1 && result.error.hasPrefix("martlet: error: "), "\(result.error)")
    }
}
