import Foundation
import TestSupport
import Testing

/// The program as a whole, without a model.
@Suite(.enabled(if: CommandLineProgram.executable != nil, "the martlet executable is not beside the tests"))
struct CommandLineTests {
    @Test func versionAndHelpGoToStandardOutput() throws {
        let version = try CommandLineProgram.run("--version")
        #expect(version.status == 0)
        #expect(version.text.wholeMatch(of: /\d+\.\d+\.\d+\n/) != nil)
        let help = try CommandLineProgram.run("run", "--help")
        #expect(help.status == 0 && help.error.isEmpty)
        #expect(help.text.contains("--max-tokens"))
    }

    /// The one command of two words.
    @Test func helpKnowsBenchServe() throws {
        let help = try CommandLineProgram.run("help", "bench", "serve")
        #expect(help.status == 0 && help.text.contains("--num-prompts"), "\(help.error)")
        #expect(try CommandLineProgram.run("help", "bench").text.contains("--ladder"))
    }

    // In our words, not in those of a library.

    @Test func anImageThatCannotBeReadIsNamed() throws {
        let folder = try TemporaryFolder()
        try folder.write(Data(GGUFBuilder.llama().build()), to: "m.gguf")
        let result = try CommandLineProgram.run("run", folder.path + "/m.gguf", "x", "--image", "/tmp")
        #expect(result.status == 1 && result.error == "martlet: error: cannot read /tmp: Is a directory\n")
    }

    @Test(.enabled(if: SharedFixtures.smolLM2 != nil, "the default model is absent: run 'make model'"))
    func aHostThatIsNotKnownIsNamed() throws {
        let result = try CommandLineProgram.run(
            "serve", CommandLineProgram.model, "--host", "nosuch.invalid", "--port", "8123")
        #expect(result.status == 1)
        #expect(
            result.errorLines.last == "martlet: error: cannot listen at nosuch.invalid:8123: the host is not known",
            "\(result.error)")
    }

    static let failures: [[String]] = [
        ["show", "/nonexistent/model.gguf"], ["show", "no-such-model"], ["bogus"], ["run", "--top-k", "many"],
        ["tokenize"], ["logits", "x.gguf", "-o", "y"], ["perplexity", "x.gguf", "y", "--context", "1"],
        ["bench", "--batch", "0"], ["show", "--threads", "0"], ["template", "/nonexistent/model.gguf", "x.json"],
        ["run", "oneword"], ["bench", "--ladder", "--batch", "2"], ["bench", "--ladder", "--depth", "1,2"],
        ["bench", "--ladder", "-n", "0"],
        ["quantize", "a", "b", "--method", "awq"], ["quantize", "a", "b", "--method", "rtn", "--bits", "5"],
        ["quantize", "a", "b", "--method", "rtn", "--desc-act"], ["quantize", "/nonexistent", "b", "--method", "rtn"],
        ["eval", "x.gguf", "--text", "y", "--context", "1"], ["eval", "--text", "y"],
        ["bench", "x.gguf", "--requests", "1", "--rate", "1e-19"],
        ["bench", "x.gguf", "--requests", "1", "--rate", "inf"],
    ]

    @Test(arguments: failures) func errorsAreOneLineAndAStatus(arguments: [String]) throws {
        let result = try CommandLineProgram.run(arguments)
        #expect(result.status != 0)
        #expect(result.output.isEmpty)
        #expect(result.errorLines.count == 1)
        #expect(result.error.hasPrefix("martlet: error: "))
    }

    @Test func aFileThatIsNoModelIsNamed() throws {
        let url = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString).gguf")
        defer { try? FileManager.default.removeItem(at: url) }
        for bytes in [Data(), Data("GGUF".utf8), Data(repeating: 0xFF, count: 1000)] {
            try bytes.write(to: url)
            for command in ["show", "bench", "run", "tokenize"] {
                let result = try CommandLineProgram.run(command, url.path, input: Data("x".utf8))
                #expect(result.status == 1)
                #expect(result.errorLines.count == 1)
                #expect(result.error.hasPrefix("martlet: error: \(url.path):"))
            }
            // It listens already, and says so.
            let served = try CommandLineProgram.run("serve", url.path, "--port", "0")
            #expect(served.status == 1)
            #expect(served.errorLines.last?.hasPrefix("martlet: error: \(url.path):") == true, "\(served.error)")
            #expect(served.errorLines.dropLast().allSatisfy { $0.hasPrefix("listening at http://127.0.0.1:") })
        }
    }

    /// All ones say that there is no such token: llama.cpp's converter of llama2.c's models writes them for padding.
    @Test func specialTokensOfAGGUFFileMayBeNone() throws {
        var file = GGUFBuilder.llama()
        file.set("tokenizer.ggml.model", "gpt2")
        file.set("tokenizer.ggml.padding_token_id", UInt32.max)
        file.set("tokenizer.ggml.unknown_token_id", 5, Int32(-1).bytes)
        let folder = try TemporaryFolder()
        let path = folder.path + "/model.gguf"
        try folder.write(Data(file.build()), to: "model.gguf")
        let result = try CommandLineProgram.run("tokenize", path, "abc")
        #expect(result.text == "[0,1,2]\n", "\(result.error)")
        // Any other id that the vocabulary lacks is an error.
        file.set("tokenizer.ggml.padding_token_id", UInt32(8))
        try folder.write(Data(file.build()), to: "model.gguf")
        let refused = try CommandLineProgram.run("tokenize", path, "abc")
        #expect(refused.status == 1 && refused.error.contains("padding token id 8 is out of range"), "\(refused.error)")
    }

    /// A tokenizer may have more tokens than the model has logits.
    @Test func perplexityOfTokensThatDoNotExistIsRefused() throws {
        var model = TinyModelFolder()
        let vocabulary = "abcdefghijk".enumerated().map { #""\#($0.element)": \#($0.offset)"# }.joined(separator: ", ")
        model.files["tokenizer.json"] = Data(
            #"{"model": {"type": "BPE", "vocab": {\#(vocabulary)}, "merges": []}}"#.utf8)
        let folder = try model.write()
        try folder.write("akaa", to: "text.txt")
        let result = try CommandLineProgram.run(
            "perplexity", folder.path, folder.path + "/text.txt", "--context", "4")
        #expect(result.status == 1)
        #expect(result.error == "martlet: error: token 10 at index 1 is not below 10\n")
    }
}

/// The program with the real model.
@Suite(
    .enabled(if: CommandLineProgram.executable != nil, "the martlet executable is not beside the tests"),
    .enabled(if: SharedFixtures.smolLM2 != nil, "models/SmolLM2-135M-Instruct.Q4_1.gguf is absent ('make model')"),
    .serialized)
struct CommandLineModelTests {
    static let model = CommandLineProgram.model

    @Test(arguments: ["Hello, world!", "a  1\n\ttab", "日本語 🙂 é", "<|im_start|>user", ""])
    func tokensRoundTrip(text: String) throws {
        let tokens = try CommandLineProgram.run("tokenize", Self.model, "--json", input: Data(text.utf8))
        #expect(tokens.status == 0)
        let ids = try JSONDecoder().decode([Int].self, from: tokens.output)
        #expect(ids.isEmpty == text.isEmpty)
        let back = try CommandLineProgram.run("detokenize", Self.model, input: tokens.output)
        #expect(back.status == 0)
        #expect(back.text == text)
    }

    @Test func specialTokensOnlyWhereAskedFor() throws {
        let plain = try CommandLineProgram.run("tokenize", Self.model, "<|im_start|>")
        let special = try CommandLineProgram.run("tokenize", Self.model, "<|im_start|>", "--special")
        #expect(special.text == "[1]\n")
        #expect(try JSONDecoder().decode([Int].self, from: plain.output).count > 1)
        #expect(try CommandLineProgram.run("detokenize", Self.model, "[1, 2]").text == "")
        #expect(
            try CommandLineProgram.run("detokenize", Self.model, "1,2", "--keep-special").text
                == "<|im_start|><|im_end|>")
        #expect(try CommandLineProgram.run("detokenize", Self.model, "49152").status == 1)
    }

    @Test func templates() throws {
        let conversation = #"{"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}]}"#
        let result = try CommandLineProgram.run("template", Self.model, "-", input: Data(conversation.utf8))
        #expect(
            result.text == "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
        let closed = conversation.dropLast() + #", "add_generation_prompt": false}"#
        let without = try CommandLineProgram.run("template", Self.model, "-", input: Data(closed.utf8))
        #expect(without.text + "<|im_start|>assistant\n" == result.text)
        for bad in ["", "[]", "{}", "{\"messages\": 5}"] {
            let failed = try CommandLineProgram.run("template", Self.model, "-", input: Data(bad.utf8))
            #expect(failed.status == 1 && failed.errorLines.count == 1)
        }
    }

    private func logits(_ arguments: [String]) throws -> (header: [String: [String: Any]], data: Data) {
        let url = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString).safetensors")
        defer { try? FileManager.default.removeItem(at: url) }
        let result = try CommandLineProgram.run(["logits", Self.model, "-o", url.path] + arguments)
        #expect(result.status == 0)
        #expect(result.error.isEmpty)
        let file = try Data(contentsOf: url)
        let length = file.prefix(8).enumerated().reduce(0) { $0 + Int($1.element) << (8 * $1.offset) }
        let header = try JSONSerialization.jsonObject(with: file[8..<8 + length]) as? [String: [String: Any]]
        return (header ?? [:], file[(8 + length)...])
    }

    /// Batch invariance: the chunks in which a prompt is computed change no bit.
    @Test func logitsDoNotDependOnChunksOrThreads() throws {
        let tokens = ["--token-ids", "504,2365,6354,16438,27003,690,260,23790,2767,30"]
        let whole = try logits(tokens + ["--threads", "2"])
        #expect(whole.header["logits"]?["shape"] as? [Int] == [10, 49152])
        #expect(whole.data.count == 10 * 49152 * 4)
        #expect(try logits(tokens + ["--chunk", "3", "--threads", "1"]).data == whole.data)
    }

    @Test func logitsOfTokensThatDoNotExistAreRefused() throws {
        let result = try CommandLineProgram.run("logits", Self.model, "-o", "/nonexistent/x", "--token-ids", "1,49152")
        #expect(result.status == 1)
        #expect(result.error == "martlet: error: token 49152 at index 1 is not below 49152\n")
    }

    @Test func showPrintsJSON() throws {
        let result = try CommandLineProgram.run("show", Self.model, "--plan", "--json", "--context", "100")
        #expect(result.status == 0)
        let document = try #require(JSONSerialization.jsonObject(with: result.output) as? [String: [String: Any]])
        let summary = try #require(document["model"]?["summary"] as? [String: Any])
        #expect(summary["parameters"] as? Int == 134_515_008)
        // 30 layers, keys and values, 3 heads of 64, 2 bytes.
        let memory = try #require(document["model"]?["memory"] as? [String: Any])
        #expect(memory["kvPerToken"] as? Int == 30 * 2 * 3 * 64 * 2)
        let plan = try #require(document["plan"])
        let (fused, unfused) = (plan["fused"] as? [String: Int], plan["unfused"] as? [String: Int])
        #expect(try #require(fused?["activationBytes"]) < (try #require(unfused?["activationBytes"])))
        #expect(fused?["operations"] == unfused?["operations"])
        #expect(try #require(plan["callsPerLayer"] as? Int) <= 10)
    }

    /// The mean NLL of the text's first window by an fp32 reference (shared/fixtures/README.md) is 3.341388. Its softmax
    /// was summed in single precision, which puts it 8e-6 below what the same logits give in double precision.
    @Test(.enabled(if: SharedFixtures.url("persuasion.txt") != nil, "shared/fixtures is absent"))
    func perplexityAgreesWithTheReference() throws {
        let text = try #require(SharedFixtures.url("persuasion.txt"))
        let result = try CommandLineProgram.run(
            "perplexity", Self.model, text.path, "--compute", "f32", "--limit", "1", "--json")
        #expect(result.status == 0)
        let report = try #require(JSONSerialization.jsonObject(with: result.output) as? [String: Any])
        #expect(report["targets"] as? Int == 511)
        let mean = try #require(report["meanNegativeLogLikelihood"] as? Double)
        #expect(abs(mean - 3.341388) < 1e-4)
    }

    @Test func benchPrintsEveryFormat() throws {
        let arguments = ["bench", Self.model, "-p", "8", "-n", "2", "-r", "2", "--batch", "1,2", "--depth", "0,5"]
        let json = try CommandLineProgram.run(arguments + ["--json"])
        #expect(json.status == 0)
        let results = try #require(JSONSerialization.jsonObject(with: json.output) as? [[String: Any]])
        #expect(
            results.map { $0["test"] as? String } == [
                "pp8", "tg2", "tg2 x2", "pp8 @ d5", "tg2 @ d5", "tg2 x2 @ d5",
            ])
        #expect(results.allSatisfy { ($0["samples"] as? [Double])?.count == 2 })
        let csv = try CommandLineProgram.run(arguments + ["-o", "csv"])
        #expect(csv.text.split(separator: "\n").count == 7)
        let table = try CommandLineProgram.run(arguments)
        #expect(table.text.hasPrefix("| model "))
        #expect(try CommandLineProgram.run(["bench", Self.model, "--depth", "8192"]).status == 1)
    }

    /// Steps 4 to 6 differ in no bit; with 15-bit activations the others are off by less than 0.05 deviations, or the
    /// command fails (LoadOptions.Compute.ladderTolerance).
    @Test func theLadderMeasuresSixStepsThatAgree() throws {
        let arguments = ["bench", Self.model, "--ladder", "-p", "40", "-n", "3", "-r", "2"]
        let json = try CommandLineProgram.run(arguments + ["-o", "json"])
        #expect(json.status == 0 && json.error.isEmpty)
        let rows = try #require(JSONSerialization.jsonObject(with: json.output) as? [[String: Any]])
        #expect(rows.map { $0["step"] as? Int } == [1, 2, 3, 4, 5, 6])
        for (index, row) in rows.enumerated() {
            let agreement = try #require(row["agreement"] as? [String: Any])
            let difference = try #require(agreement["difference"] as? Double)
            #expect(index < 3 ? difference > 0 && difference < 0.05 : difference == 0)
            #expect(agreement["rows"] as? Int == 3)
            for test in ["prefill", "decode"] {
                let speed = try #require(row[test] as? [String: Any])
                #expect((speed["samples"] as? [Double])?.count == 2)
            }
            #expect((row["planningMilliseconds"] as? Double == 0) == (index == 5))
        }
        let csv = try CommandLineProgram.run(arguments + ["-o", "csv"])
        #expect(csv.text.split(separator: "\n").count == 7)
        let table = try CommandLineProgram.run(arguments)
        #expect(table.text.contains("plain attention") && table.text.contains("tg3 @ d40"))
    }

    @Test func runAnswersTheSameForTheSameSeed() throws {
        let arguments = ["run", Self.model, "Say hello.", "--max-tokens", "12", "--seed", "7"]
        let first = try CommandLineProgram.run(arguments)
        #expect(first.status == 0)
        #expect(first.error.isEmpty)
        #expect(first.text.count > 1 && first.text.hasSuffix("\n"))
        #expect(try CommandLineProgram.run(arguments).text == first.text)
        // Text on standard input comes first.
        let piped = try CommandLineProgram.run(
            ["run", Self.model, "hello.", "--max-tokens", "12", "--seed", "7", "--verbose"], input: Data("Say".utf8))
        #expect(piped.text == first.text)
        #expect(piped.error.contains("tok/s"))
    }

    @Test func runRefusesWhatItCannotDo() throws {
        for arguments in [
            ["run", Self.model], ["run", Self.model, "Hi", "--top-p", "7"],
            ["run", Self.model, "Hi", "--raw", "--system", "x"],
            ["run", Self.model, "Hi", "--context", "99999999"],
            ["run", Self.model, "A long prompt of more than four tokens", "--context", "4"],
        ] {
            let result = try CommandLineProgram.run(arguments)
            #expect(result.status != 0)
            #expect(result.output.isEmpty)
            #expect(result.errorLines.count == 1)
        }
    }
}
