import ArgumentParser
import Foundation
import Martlet
import MartletCheckpoints
import Testing

@testable import MartletCLI

@Suite struct ChatCommandTests {
    @Test func messagesAreNotCommands() {
        #expect(ChatCommand("hello") == nil)
        #expect(ChatCommand("") == nil)
        #expect(ChatCommand("a /bye") == nil)
    }

    @Test func commands() {
        #expect(ChatCommand("/bye") == .bye)
        #expect(ChatCommand("/exit  ") == .bye)
        #expect(ChatCommand("/?") == .help)
        #expect(ChatCommand("/clear") == .clear)
        #expect(ChatCommand("/system") == .system(nil))
        #expect(ChatCommand("/system \"\"") == .system(""))
        #expect(ChatCommand("/system  You are  terse. ") == .system("You are  terse."))
        #expect(ChatCommand("/system two\nlines") == .system("two\nlines"))
        #expect(ChatCommand("/set system \"Be kind\"") == .system("Be kind"))
        #expect(ChatCommand("/set parameter top_p 0.5") == .set(parameter: "top_p", values: ["0.5"]))
        #expect(ChatCommand("/set parameter stop a \"b\"") == .set(parameter: "stop", values: ["a", "b"]))
        #expect(ChatCommand("/set verbose") == .setVerbose(true))
        #expect(ChatCommand("/show") == .show(.info))
        #expect(ChatCommand("/show template") == .show(.template))
    }

    @Test(
        arguments: [
            (#""a b" c"#, ["a b", "c"]), (#""say \"hi\"" "\\" "1\n2""#, ["say \"hi\"", "\\", "1\n2"]), ("\"\"", [""]),
            (#"a"b \n"#, [#"a"b"#, #"\n"#]), (#""\d+""#, [#"\d+"#]), (#"  "\\n"  "#, [#"\n"#]),
        ] as [(String, [String])])
    func quotedValues(text: String, values: [String]) throws {
        let command = ChatCommand("/set parameter stop \(text)")
        #expect(command == .set(parameter: "stop", values: values))
        // What is echoed can be typed again.
        let echoed = ChatParameter.confirmation("stop", values)
        let typed = echoed.dropFirst("stop is ".count).dropLast(" now.".count)
        #expect(ChatCommand("/set parameter stop \(typed)") == command)
        #expect(!echoed.contains("\n"))
    }

    @Test(arguments: [#""a"#, #""a\""#, #""a"b"#, #"x "a b"#, "\"\"\\"])
    func quotesThatAreNotClosed(text: String) {
        #expect(ChatCommand("/set parameter stop \(text)") == .invalid("a quote is not closed"))
    }

    @Test(arguments: ["/", "/nope", "/set", "/set parameter", "/set parameter seed", "/set system", "/show all"])
    func invalid(line: String) {
        guard case .invalid(let hint) = ChatCommand(line) else {
            Issue.record("\(line) was understood")
            return
        }
        #expect(!hint.isEmpty)
    }
}

@Suite struct ChatParameterTests {
    @Test func everyNameCanBeSet() throws {
        var parameters = SamplingParameters()
        for name in ChatParameter.names { try ChatParameter.set(name, ["1"], in: &parameters) }
        #expect(parameters.seed == 1 && parameters.maxTokens == 1 && parameters.stop == ["1"] && parameters.topK == 1)
        #expect(ChatParameter.text(parameters).split(separator: "\n").count == ChatParameter.names.count)
    }

    @Test func numbersAreEchoedAsTheyAre() {
        #expect(ChatParameter.confirmation("top_p", ["0.5"]) == "top_p is 0.5 now.")
        #expect(ChatParameter.confirmation("stop", ["a b", "c"]) == #"stop is "a b" "c" now."#)
    }

    @Test func badValuesChangeNothing() {
        var parameters = SamplingParameters()
        let before = parameters
        for (name, values) in [
            ("temperature", ["hot"]), ("temperature", ["-1"]), ("top_p", ["7"]), ("seed", ["1", "2"]), ("nope", ["1"]),
            ("top_k", ["1.5"]), ("stop", [""]),
        ] {
            #expect(throws: (any Error).self) { try ChatParameter.set(name, values, in: &parameters) }
        }
        #expect(parameters == before)
    }
}

@Suite struct ChatTests {
    @Test func messagesOfSeveralLines() {
        #expect(ChatLoop.message(["hi"]) == "hi")
        #expect(ChatLoop.message(["\"\"\"a", "b"]) == nil)
        #expect(ChatLoop.message(["\"\"\"a", "b\"\"\""]) == "a\nb")
        #expect(ChatLoop.message(["\"\"\"", "a", "\"\"\""]) == "a\n")
        #expect(ChatLoop.message(["\"\"\"one\"\"\""]) == "one")
        #expect(ChatLoop.message(["\"\"\""]) == nil)
    }

    @Test func conversationsKeepTheirTurns() {
        var conversation = Conversation()
        #expect(conversation.messages(asking: "a").map(\.content) == ["a"])
        conversation.append(question: "a", answer: "b")
        conversation.system = "s"
        #expect(conversation.messages(asking: "c").map(\.role) == ["system", "user", "assistant", "user"])
        conversation.removeAll()
        #expect(conversation.messages.map(\.content) == ["s"])
    }

    @Test func historyIsSavedAndBounded() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "state/history")
        var history = History(file: file)
        for line in ["one", "one", "two\nlines \"quoted\" / é", ""] { history.append(line) }
        #expect(History(file: file).lines == ["one", "two\nlines \"quoted\" / é"])
        let mode = try FileManager.default.attributesOfItem(atPath: file.path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        for index in 0...History.capacity { history.append("\(index)") }
        #expect(History(file: file).lines.count == History.capacity)
        #expect(History(file: file).lines.last == "\(History.capacity)")
        try Data("not JSON\n\"good\"\n".utf8).write(to: file)
        #expect(History(file: file).lines == ["good"])
    }

    @Test func escapeSequencesOfAModelDoNotReachTheTerminal() {
        #expect(AnswerStream.printable("a\u{1B}[2Jb\u{7}\u{9B}\n\tc") == "a[2Jb\n\tc")
    }
}

@Suite struct RunArgumentsTests {
    private func arguments(_ model: String?, _ prompt: String?) throws -> RunArguments {
        let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for name in ["a.gguf", "with space.gguf", ModelLookup.defaultName] {
            try Data("x".utf8).write(to: folder.appending(path: name))
        }
        return try RunArguments(model: model, prompt: prompt, lookup: ModelLookup(folders: [folder]))
    }

    @Test func whichArgumentIsWhat() throws {
        #expect(try arguments(nil, nil).path.hasSuffix(ModelLookup.defaultName))
        #expect(try arguments("a", nil).path.hasSuffix("/a.gguf"))
        #expect(try arguments("a", "a").prompt == "a")
        let prompt = try arguments("why is the sky blue?", nil)
        #expect(prompt.prompt == "why is the sky blue?" && prompt.path.hasSuffix(ModelLookup.defaultName))
        #expect(try arguments("what is 1/2?", nil).prompt == "what is 1/2?")
        // A model may have a space in its name; a prompt of one word is never guessed.
        #expect(try arguments("with space", nil).prompt == nil)
        #expect(throws: CommandFailure.self) { try arguments("misspelled", nil) }
        #expect(throws: CommandFailure.self) { try arguments("folder/x.gguf", nil) }
        #expect(throws: CommandFailure.self) { try arguments("no model", "prompt") }
    }

    @Test func inputComesBeforeThePrompt() {
        #expect(RunArguments.joined(input: "text", prompt: "sum up") == "text sum up")
        #expect(RunArguments.joined(input: " \n", prompt: "sum up") == "sum up")
        #expect(RunArguments.joined(input: nil, prompt: nil) == nil)
        #expect(RunArguments.joined(input: "text\n", prompt: nil) == "text\n")
    }
}

@Suite struct ArgumentTests {
    @Test func tokenLists() throws {
        #expect(try TokenList.parse(" [1, 2,3]\n") == [1, 2, 3])
        #expect(try TokenList.parse("1,2 3\n4") == [1, 2, 3, 4])
        #expect(try TokenList.parse("[]") == [])
        for bad in ["[1", "1,x", "-1", "1.5", "99999999999"] {
            #expect(throws: CommandFailure.self) { try TokenList.parse(bad) }
        }
    }

    @Test func integerLists() {
        #expect(IntegerList(argument: "1,8,64")?.values == [1, 8, 64])
        #expect(IntegerList(argument: "5")?.values == [5])
        for bad in ["", ",", "1,", "a", "1;2"] { #expect(IntegerList(argument: bad) == nil) }
    }

    @Test func benchmarkOptions() throws {
        let options = "bench m -p 128,256 -n 0 --depth 0,64 -r 3 -o csv --compute f32 --kv-cache-type int8".split(
            separator: " ")
        let command = try #require(try MartletCommand.command(for: options.map(String.init)) as? BenchCommand)
        #expect(command.prompt.values == [128, 256])
        #expect(command.format == .csv && command.repetitions == 3 && command.arithmetic.compute == .f32)
        #expect(command.cache.kvCacheType == .int8)
        #expect(throws: (any Error).self) { try MartletCommand.command(for: ["bench", "-p", "0", "-n", "0"]) }
    }

    @Test func samplingOptions() throws {
        let arguments = ["run", "m", "hi", "--top-k", "5", "--stop", "a", "--stop", "b", "--temperature", "0"]
        let command = try #require(try MartletCommand.command(for: arguments) as? RunCommand)
        #expect(command.model == "m" && command.prompt == "hi")
        #expect(command.sampling.topK == 5 && command.sampling.stop == ["a", "b"] && command.sampling.temperature == 0)
        let parameters = try command.sampling.parameters(.init(temperature: 0.25, topK: 9, topP: 0.5))
        #expect(parameters.temperature == 0 && parameters.topK == 5)
        #expect(parameters.topP == 0.5, "left to the model's makers")
    }

    @Test func benchmarkStatistics() {
        let (mean, deviation) = BenchResult.meanAndDeviation([2, 4, 4, 4, 5, 5, 7, 9])
        #expect(mean == 5)
        // Squares 32, of n - 1 = 7.
        #expect(abs(deviation - (32.0 / 7).squareRoot()) < 1e-12)
        #expect(BenchResult.meanAndDeviation([3]).deviation == 0)
        #expect(BenchTest(kind: .generate, tokens: 128, depth: 4096, batch: 8).name == "tg128 x8 @ d4096")
    }
}
