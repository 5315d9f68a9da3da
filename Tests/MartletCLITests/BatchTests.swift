import Foundation
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
            #expect(result.status == 0)
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

    @Test func anInterruptedRunGoesOn() throws {
        try Self.withFolder { folder in
            let (input, output) = (folder.appending(path: "in.jsonl"), folder.appending(path: "out.jsonl"))
            try Data("{\n\(Self.capital)\n".utf8).write(to: input)
            #expect(try Self.run(input, "-o", output.path).errorLines.count == 1)
            let first = try Data(contentsOf: output)
            // The next run finds two lines done, half a line of a third, and does what is missing.
            try Data("{\n\(Self.capital)\n\(Self.count)\n".utf8).write(to: input)
            try (first + Data(#"{"id":"batch_req_3","custom"#.utf8)).write(to: output)
            let second = try Self.run(input, "-o", output.path, "--json")
            let summary = try #require(JSONSerialization.jsonObject(with: second.output) as? [String: Any])
            #expect(summary["skipped"] as? Int == 2)
            #expect(summary["answered"] as? Int == 1)
            #expect(summary["failed"] as? Int == 0)
            let whole = try Data(contentsOf: output)
            #expect(whole.prefix(first.count) == first)
            #expect(try Self.output(output).map(\.id).sorted() == ["batch_req_1", "batch_req_2", "batch_req_3"])
            // And when nothing is missing, nothing changes.
            #expect(try Self.run(input, "-o", output.path).status == 0)
            #expect(try Data(contentsOf: output) == whole)
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
