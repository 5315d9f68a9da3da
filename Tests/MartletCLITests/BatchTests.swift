import Foundation
import Martlet
import TestSupport
import Testing

@testable import MartletCLI

@Suite struct LineFileTests {
    private static func lines(of content: Data, limit: Int = 1000) throws -> [LineFile.Line] {
        let url = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: url) }
        try content.write(to: url)
        let file = try LineFile(path: url.path, limit: limit)
        var lines: [LineFile.Line] = []
        while let line = try file.next() { lines.append(line) }
        #expect(file.position == file.size)
        return lines
    }

    @Test func linesOfEverySize() throws {
        #expect(try Self.lines(of: Data()) == [])
        #expect(try Self.lines(of: Data("a\n\nb".utf8)) == [.bytes([97]), .bytes([]), .bytes([98])])
        #expect(try Self.lines(of: Data("a\n".utf8)) == [.bytes([97])])
        // Across borders of the buffer, which has 65,536 bytes.
        let long = Data(repeating: 120, count: 150_000)
        #expect(try Self.lines(of: long + [10, 121], limit: 150_000) == [.bytes(Array(long)), .bytes([121])])
        #expect(try Self.lines(of: long + [10, 121], limit: 149_999) == [.tooLong, .bytes([121])])
        #expect(try Self.lines(of: long, limit: 10) == [.tooLong])
    }

    @Test func aMissingFileIsNamed() {
        #expect(throws: CommandFailure.self) { try LineFile(path: "/nonexistent/x", limit: 1) }
    }

    /// What comes from a pipe can be read twice, too.
    @Test func pipesAreRewound() throws {
        let pipe = Pipe()
        try pipe.fileHandleForWriting.write(contentsOf: Data("a\nbc".utf8))
        try pipe.fileHandleForWriting.close()
        let file = try LineFile(path: "/dev/fd/\(pipe.fileHandleForReading.fileDescriptor)", limit: 10)
        for _ in 0..<2 {
            let lines = [try file.next(), try file.next(), try file.next()]
            #expect(lines == [.bytes([97]), .bytes([98, 99]), nil])
            #expect(file.position == 4 && file.size == 4)
            file.rewind()
        }
    }
}

/// What a run keeps of an earlier one.
@Suite struct BatchOutputTests {
    private static func line(_ number: Int, _ id: String, status: Int = 200) -> String {
        let body = #"{"status_code":\#(status),"request_id":"\#(id)","body":{}}"#
        return #"{"id":"batch_req_\#(number)","custom_id":"\#(number)","response":\#(body),"error":null}"#
    }

    private static let unreadable = #"{"id":"batch_req_9","custom_id":null,"response":null,"error":{"code":"x"}}"#

    @Test func onlyAnswersToTheSameRequestsAreKept() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/out.jsonl"
        let lines = [
            Self.line(1, "req_a"), Self.line(2, "req_b", status: 400), Self.unreadable, Self.line(3, "req_c"),
            Self.line(4, "req_d"), Self.line(4, "req_d"), #"{"id":"batch_re"#,
        ]
        try folder.write(lines.joined(separator: "\n"), to: "out.jsonl")
        try folder.write("before\n", to: "out.jsonl.old")
        try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: path)
        let output = try BatchOutput(path: path) { ["req_a", "req_b", "req_d"] }
        #expect(["req_a", "req_b", "req_c", "req_d"].map(output.contains) == [true, false, false, true])
        #expect(output.movedCount == 2)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "\(lines[0])\n\(lines[4])\n")
        #expect(
            try String(contentsOfFile: output.movedPath, encoding: .utf8) == "before\n\(lines[3])\n\(lines[4])\n")
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o640)
        #expect(!FileManager.default.fileExists(atPath: path + ".new"))
    }

    @Test func aNewFileAsksForNothing() throws {
        let folder = try TemporaryFolder()
        for name in ["absent", "empty"] {
            if name == "empty" { try folder.write("", to: name) }
            let output = try BatchOutput(path: folder.path + "/" + name) {
                Issue.record("\(name) has no answers")
                return []
            }
            #expect(!output.contains("req_a") && output.movedCount == 0)
        }
    }

    /// All that changes an answer changes the request's name, and nothing else does.
    @Test func requestsAreNamedByWhatTheirAnswersDependOn() throws {
        let folder = try TemporaryFolder()
        try folder.write("one", to: "m.gguf")
        try folder.write("{}", to: "model/config.json")
        func id(
            _ model: String = "m.gguf", line: Int = 1, text: String = "x",
            _ change: (inout LoadOptions) -> Void = { _ in }
        ) -> String {
            var options = LoadOptions()
            change(&options)
            return BatchRequestIDs(model: folder.path + "/" + model, options: options).id(line: line, Array(text.utf8))
        }
        let first = id()
        #expect(first.wholeMatch(of: /req_[0-9a-f]{32}/) != nil)
        let same = id {
            $0.threads = 1
            $0.maxRequests = 3
        }
        #expect(same == first)
        var all = [
            first, id(line: 2), id(text: "x "), id("model"), id { $0.compute = .f32 }, id { $0.kvType = .int8 },
            id { $0.quantization = .int4 }, id { $0.contextLength = 5 },
        ]
        // The batch itself may lie beside the model.
        let before = id("model")
        try folder.write("x", to: "model/requests.jsonl")
        try folder.write("x", to: "model/requests.output.jsonl")
        #expect(id("model") == before)
        try folder.write("other", to: "m.gguf")
        all.append(id())
        try folder.write("{ }", to: "model/config.json")
        all.append(id("model"))
        #expect(Set(all).count == all.count)
    }
}

/// `martlet batch` with the real model.
@Suite(
    .enabled(if: CommandLineProgram.executable != nil, "the martlet executable is not beside the tests"),
    .enabled(if: SharedFixtures.smolLM2 != nil, "models/SmolLM2-135M-Instruct.Q4_1.gguf is absent ('make model')"),
    .serialized)
struct BatchTests {
    private struct Line: Decodable {
        struct Response: Decodable {
            struct Body: Decodable {
                struct Choice: Decodable {
                    struct Message: Decodable { var content: String }
                    var message: Message?
                    var text: String?
                }
                struct Failure: Decodable {
                    var param: String?
                    var code: String?
                }
                var choices: [Choice]?
                var error: Failure?
            }
            var statusCode: Int
            var body: Body
        }
        struct Failure: Decodable { var code: String }
        var id: String
        var customId: String?
        var response: Response?
        var error: Failure?
    }

    private static func request(_ id: String, _ body: String, url: String = "/v1/chat/completions") -> String {
        #"{"custom_id": "\#(id)", "method": "POST", "url": "\#(url)", "body": \#(body)}"#
    }

    private static let capital = request(
        "capital", #"{"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}"#)
    private static let count = request(
        "count", #"{"prompt": "One, two, three,", "max_tokens": 4, "temperature": 0}"#, url: "/v1/completions")

    private static func withFolder(_ body: (URL) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-batch-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder)
    }

    private static func run(_ input: URL, _ more: String...) throws -> CommandLineProgram.Result {
        try CommandLineProgram.run(
            ["batch", input.path, "--model", CommandLineProgram.model, "--context", "512"] + more)
    }

    private static func output(_ url: URL) throws -> [Line] {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try String(contentsOf: url, encoding: .utf8).split(separator: "\n").map {
            try decoder.decode(Line.self, from: Data($0.utf8))
        }
    }

    @Test func hostileLinesDoNotStopTheOthers() throws {
        try Self.withFolder { folder in
            let input = folder.appending(path: "in.jsonl")
            let lines = [
                "{", Self.capital, "", "null", Self.request("range", #"{"messages": [], "temperature": NaN}"#),
                Self.request("other", #"{"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}"#),
                Self.request("stream", #"{"prompt": "x", "stream": true}"#, url: "/v1/completions"),
                Self.request("url", "{}", url: "/v1/embeddings"), String(repeating: "[", count: 100_000), Self.capital,
                Self.request("long", #"{"prompt": "x", "max_tokens": 9223372036854775807}"#, url: "/v1/completions"),
                #"{"custom_id": "\ud800"}"#, Self.count,
            ]
            try (Data(lines.joined(separator: "\r\n").utf8) + [10, 0xFF, 0xFE, 10]).write(to: input)
            let result = try Self.run(input, "--json")
            #expect(result.status == 2)
            let summary = try #require(JSONSerialization.jsonObject(with: result.output) as? [String: Any])
            #expect(summary["answered"] as? Int == 2)
            #expect(summary["failed"] as? Int == 11)

            let output = try Self.output(folder.appending(path: "in.output.jsonl"))
            #expect(Set(output.map(\.id)).count == 13)
            func line(_ id: String) throws -> Line {
                try #require(output.first { $0.customId == id && $0.error == nil })
            }
            let capital = try line("capital").response
            #expect(capital?.statusCode == 200)
            #expect(capital?.body.choices?.first?.message?.content == "The capital of France is Paris.")
            #expect(try line("count").response?.body.choices?.first?.text?.contains("four") == true)
            for (id, status, parameter) in [
                ("range", 400, "messages"), ("other", 404, "model"), ("stream", 400, "stream"), ("long", 400, "prompt"),
            ] {
                let response = try line(id).response
                #expect(response?.statusCode == status)
                #expect(response?.body.error?.param == parameter)
            }
            #expect(output.contains { $0.customId == "capital" && $0.error?.code == "duplicate_custom_id" })
            #expect(output.contains { $0.customId == "url" && $0.response == nil && $0.error != nil })
            #expect(output.count { $0.customId == nil && $0.error?.code == "invalid_json_line" } == 4)
        }
    }

    private struct Counts: Decodable, Equatable {
        var answered: Int
        var failed: Int
        var skipped: Int
    }

    private static func summary(_ result: CommandLineProgram.Result) throws -> Counts {
        try JSONDecoder().decode(Counts.self, from: result.output)
    }

    @Test func anInterruptedRunGoesOn() throws {
        try Self.withFolder { folder in
            let (input, output) = (folder.appending(path: "in.jsonl"), folder.appending(path: "out.jsonl"))
            try Data("\(Self.capital)\n{\n".utf8).write(to: input)
            let failed = try Self.run(input, "-o", output.path)
            #expect(failed.status == 2 && failed.errorLines.count == 1)
            let answer = try #require(
                try String(contentsOf: output, encoding: .utf8).split(separator: "\n").first {
                    $0.contains("batch_req_1")
                })
            // The next run finds an answer, an error, and half a line of a third, and does what is missing.
            try Data("\(Self.capital)\n\n\(Self.count)\n".utf8).write(to: input)
            let handle = try FileHandle(forWritingTo: output)
            try handle.seekToEnd()
            try handle.write(contentsOf: Data(#"{"id":"batch_req_3","custom"#.utf8))
            try handle.close()
            let second = try Self.run(input, "-o", output.path, "--json")
            #expect(second.status == 0 && second.error.isEmpty, "\(second.error)")
            #expect(try Self.summary(second) == Counts(answered: 1, failed: 0, skipped: 1))
            let whole = try Data(contentsOf: output)
            #expect(String(decoding: whole, as: UTF8.self).hasPrefix(answer + "\n"))
            #expect(try Self.output(output).map(\.id) == ["batch_req_1", "batch_req_3"])
            // And when nothing is missing, nothing changes.
            #expect(try Self.run(input, "-o", output.path).status == 0)
            #expect(try Data(contentsOf: output) == whole)
        }
    }

    /// An answer to another request, or of a model that computes otherwise, is none.
    @Test func answersToOtherRequestsAreNotKept() throws {
        try Self.withFolder { folder in
            let (input, output) = (folder.appending(path: "in.jsonl"), folder.appending(path: "in.output.jsonl"))
            try Data("\(Self.capital)\n\(Self.count)\n".utf8).write(to: input)
            #expect(try Self.run(input).status == 0)
            // The same names, and another question.
            let other = Self.capital.replacing("France", with: "Italy")
            try Data("\(other)\n\(Self.count)\n".utf8).write(to: input)
            let second = try Self.run(input, "--json")
            #expect(try Self.summary(second) == Counts(answered: 1, failed: 0, skipped: 1))
            #expect(second.error.contains("1 answers") && second.error.contains("in.output.jsonl.old"))
            let lines = try Self.output(output)
            #expect(lines.count == 2)
            let text = lines.first { $0.customId == "capital" }?.response?.body.choices?.first?.message?.content
            #expect(text?.contains("Italy") == true && text?.contains("Paris") == false, "\(text ?? "nothing")")
            let third = try Self.run(input, "--json", "--kv-cache-type", "bf16")
            #expect(try Self.summary(third) == Counts(answered: 2, failed: 0, skipped: 0))
            #expect(try Self.output(output).count == 2)
            let moved = try String(contentsOf: folder.appending(path: "in.output.jsonl.old"), encoding: .utf8)
            #expect(moved.split(separator: "\n").count == 3 && moved.contains("Paris") && moved.contains("Italy"))
        }
    }

    @Test func requestsFromStandardInput() throws {
        try Self.withFolder { folder in
            let output = folder.appending(path: "out.jsonl")
            let arguments = ["batch", "-", "--model", CommandLineProgram.model, "--context", "512"]
            let input = Data(Self.count.utf8)
            for answered in [1, 0] {
                let result = try CommandLineProgram.run(arguments + ["-o", output.path, "--json"], input: input)
                #expect(result.status == 0, "\(result.error)")
                #expect(try Self.summary(result) == Counts(answered: answered, failed: 0, skipped: 1 - answered))
            }
            #expect(try Self.output(output).first?.response?.body.choices?.first?.text?.contains("four") == true)
            for arguments in [arguments, ["batch", "/dev/null"]] {
                let nameless = try CommandLineProgram.run(arguments, input: input)
                #expect(nameless.status != 0 && nameless.error.contains("--output"), "\(nameless.error)")
            }
            #expect(!FileManager.default.fileExists(atPath: "/dev/null.output"))
        }
    }

    @Test func anotherFileIsNotOverwritten() throws {
        try Self.withFolder { folder in
            let (input, output) = (folder.appending(path: "in.jsonl"), folder.appending(path: "out.txt"))
            try Data("{}\n".utf8).write(to: input)
            for text in ["My diary\nof years\n", "My diary", "{}"].map({ Data($0.utf8) }) {
                try text.write(to: output)
                let result = try Self.run(input, "-o", output.path)
                #expect(result.status == 1 && result.errorLines.count == 1)
                #expect(try Data(contentsOf: output) == text)
            }
        }
    }

    @Test(arguments: [("a/b.jsonl", "a/b.output.jsonl"), ("b", "b.output"), ("a.b/c", "a.b/c.output")])
    func theOutputLiesBesideTheInput(input: String, output: String) {
        #expect(BatchCommand.outputPath(for: input) == output)
    }
}
