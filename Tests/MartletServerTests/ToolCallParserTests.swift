import MartletJinja
import Testing

@testable import MartletServer

/// Calls in answers, whole and cut anywhere.
struct ToolCallParserTests {
    typealias Event = ToolCallParser.Event

    private static func use(_ format: ToolFormat, _ choice: ToolUse.Choice = .auto) -> ToolUse {
        let functions = ["weather", "time"].map { ToolUse.Function(name: $0, parameters: nil, document: .null) }
        return ToolUse(functions: functions, choice: choice, allowsSeveral: true, format: format)
    }

    /// Text, and calls with their arguments.
    private static func read(_ use: ToolUse, _ text: String, pieces: Int? = nil) -> (text: String, calls: [String]) {
        var parser = ToolCallParser(use)
        var events: [Event] = []
        let scalars = Array(text.unicodeScalars)
        for start in stride(from: 0, to: scalars.count, by: pieces ?? scalars.count) {
            let end = min(start + (pieces ?? scalars.count), scalars.count)
            events += parser.append(String(String.UnicodeScalarView(scalars[start..<end])))
        }
        events += parser.finish()
        var (content, calls) = ("", [String]())
        for event in events {
            switch event {
            case .text(let part): content += part
            case .call(let index, let name):
                #expect(index == calls.count)
                calls.append(name + " ")
            case .arguments(let index, let part): calls[index] += part
            }
        }
        #expect(calls.count == parser.callCount)
        return (content, calls)
    }

    @Test(
        arguments: [
            (ToolFormat.hermes, "Hello!", "Hello!", []),
            (.hermes, "a < b <tool", "a < b <tool", []),
            (
                .hermes,
                "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Köln }\\\"\"}}\n</tool_call>", "",
                ["weather {\"city\": \"Köln }\\\"\"}"]
            ),
            (
                .hermes,
                "Let me see.\n<tool_call>{\"arguments\": {\"a\": [1, {}]}, \"name\": \"time\"}</tool_call>\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {}}\n</tool_call>",
                "Let me see.", ["time {\"a\": [1, {}]}", "weather {}"]
            ),
            (
                .hermes, "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>", "",
                ["f {\"a\": 1}"]
            ),
            (.hermes, "<tool_call>no JSON</tool_call>", "<tool_call>no JSON</tool_call>", []),
            (.hermes, "a \n<tool_call>{\"name\": 1.", "a \n<tool_call>{\"name\": 1.", []),
            (.hermes, "<tool_call>{\"name\": \"time\", \"arguments\": {\"a\": ", "", ["time {\"a\": "]),
            (.hermes, "<tool_call>{\"argu", "<tool_call>{\"argu", []),
            // A brace is missing, as from small models.
            (
                .hermes, "<tool_call>{\"name\": \"time\", \"arguments\": {\"a\": 1}\n</tool_call>", "",
                ["time {\"a\": 1}"]
            ),
            (.hermes, "<tool_call>{\"name\": \"time\"}</tool_call>", "", ["time {}"]),
            (.hermes, "<tool_call>{\"name\": \"time\", \"id\": 3}</tool_call> ok", " ok", ["time {}"]),
            (.llama3, "{\"name\": \"time\", \"parameters\": {}}; done", "", ["time {}"]),
            (.llama3, "{\"name\": \"time\", \"parameters\": {} x}", "", ["time {}"]),
            (.llama3, "{\"name\": \"time\", \"parameters\": {\"zone\": \"UTC\"}}", "", ["time {\"zone\": \"UTC\"}"]),
            (
                .llama3,
                "<|python_tag|>{\"name\": \"time\", \"parameters\": {}}; {\"name\": \"weather\", \"parameters\": {}}",
                "",
                ["time {}", "weather {}"]
            ),
            (.llama3, "{\"name\": \"Bob\", \"age\": 7}", "{\"name\": \"Bob\", \"age\": 7}", []),
            (.llama3, "The time is {now}.", "The time is {now}.", []),
            (
                .mistral,
                "[TOOL_CALLS][{\"name\": \"time\", \"arguments\": {\"a\": 1}}, {\"name\": \"weather\", \"arguments\": {}}]",
                "", ["time {\"a\": 1}", "weather {}"]
            ),
            (
                .mistral, "Hm. [TOOL_CALLS]time[ARGS]{\"a\": {}}[TOOL_CALLS]weather{}", "Hm.",
                ["time {\"a\": {}}", "weather {}"]
            ),
            (.mistral, "[TOOL_CALLS]time[CALL_ID]abc123DEF[ARGS]{\"a\": {}}", "", ["time {\"a\": {}}"]),
            (.mistral, "[1, 2]", "[1, 2]", []),
        ] as [(ToolFormat, String, String, [String])])
    func callsAreToldFromText(_ format: ToolFormat, _ text: String, _ content: String, _ calls: [String]) {
        for pieces in [nil, 1, 2, 3, 7] {
            let result = Self.read(Self.use(format), text, pieces: pieces)
            #expect(result.text == content, "pieces of \(pieces ?? 0)")
            #expect(result.calls == calls, "pieces of \(pieces ?? 0)")
        }
    }

    @Test func whereCallsAreAskedForTheyNeedNoMark() {
        let list = "[{\"name\": \"time\", \"arguments\": {}}, {\"name\": \"weather\", \"arguments\": {\"a\": \"b\"}}]"
        #expect(Self.read(Self.use(.mistral, .required), list).calls == ["time {}", "weather {\"a\": \"b\"}"])
        let call = "<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>"
        #expect(Self.read(Self.use(.hermes, .named("time")), call, pieces: 1).calls == ["time {}"])
    }

    @Test(
        arguments: [
            (
                ToolFormat.hermes,
                "<tool_call>{\"name\": \"time\", \"arguments\": {}}\n<tool_call>{\"name\": \"weather\", \"arguments\": {}}"
            ), (.mistral, "[TOOL_CALLS]time{}[TOOL_CALLS]weather{}"),
            (.llama3, "{\"name\": \"time\", \"parameters\": {}}; {\"name\": \"weather\", \"parameters\": {}}"),
        ])
    func oneCallAtATime(_ format: ToolFormat, _ text: String) {
        var use = Self.use(format)
        #expect(Self.read(use, text).calls == ["time {}", "weather {}"])
        use.allowsSeveral = false
        #expect(Self.read(use, text).calls == ["time {}"] && Self.read(use, text).text.isEmpty)
    }

    /// Arguments come in parts, the name before them.
    @Test func argumentsAreStreamed() {
        var parser = ToolCallParser(Self.use(.hermes))
        #expect(parser.append("<tool_call>{\"name\": \"ti") == [])
        #expect(
            parser.append("me\", \"arguments\": {\"a") == [.call(index: 0, name: "time"), .arguments(index: 0, "{\"a")])
        #expect(parser.append("\": 1}") == [.arguments(index: 0, "\": 1}")])
        #expect(parser.append("}</tool_call>") == [])
    }

    /// Models fall into repeating white space, and into talking on behind a call: what was held back is not looked through
    /// again for each character. Quadratic time would be minutes here.
    @Test(.timeLimit(.minutes(1)), arguments: [ToolFormat.hermes, .llama3, .mistral])
    func longAnswersTakeLinearTime(_ format: ToolFormat) {
        let spaces = String(repeating: " \n", count: 200_000)
        let words = String(repeating: "word ", count: 100_000)
        #expect(Self.read(Self.use(format), "a" + spaces + "b").text == "a" + spaces + "b")
        let call =
            switch format {
            case .hermes: "<tool_call>{\"name\": \"time\", \"arguments\": {}}"
            case .llama3: "{\"name\": \"time\", \"parameters\": {}}"
            case .mistral: "[TOOL_CALLS][{\"name\": \"time\", \"arguments\": {}}"
            }
        #expect(Self.read(Self.use(format), call + spaces + words + spaces).calls == ["time {}"])
    }

    /// A whole answer is read in one piece, and its arguments come out in one. Were they copied for each scalar, this would be
    /// terabytes.
    @Test(.timeLimit(.minutes(1))) func longArgumentsTakeLinearTime() {
        let arguments = "{\"a\": \"" + String(repeating: "🐦", count: 1_000_000) + "\"}"
        let calls = Self.read(Self.use(.mistral), "[TOOL_CALLS]time[ARGS]" + arguments).calls
        let isWhole = calls == ["time " + arguments]
        #expect(isWhole)
    }

    @Test func neighboursAreJoined() {
        var parser = ToolCallParser(Self.use(.hermes))
        let call = "<tool_call>{\"name\": \"time\", \"arguments\": {\"a\": 1}}</tool_call>"
        #expect(
            parser.append("One two" + call + call) == [
                .text("One two"), .call(index: 0, name: "time"), .arguments(index: 0, "{\"a\": 1}"),
                .call(index: 1, name: "time"), .arguments(index: 1, "{\"a\": 1}"),
            ])
        #expect(parser.finish() == [])
    }

    /// A prepended mark makes one character with what follows, and Swift's comparisons go by characters.
    @Test func aMarkIsSeenBehindAnyScalar() {
        let call = "\u{600}<tool_call>{\"name\": \"time\", \"arguments\": {}}</tool_call>"
        #expect(Self.read(Self.use(.hermes), call).calls == ["time {}"])
    }

    @Test func conversationsAreToldInText() throws {
        let messages =
            try Value(
                json: #"""
                    [{"role": "user", "content": "Time?"},
                    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "time", "arguments": {"zone": "UTC"}}}]},
                    {"role": "tool", "content": "12:00", "tool_call_id": "x"}]
                    """#
            ).array ?? []
        let tool = try Value(json: #"{"type": "function", "function": {"name": "time"}}"#)
        let texts = ToolPrompt.messages(messages, tools: [tool]).map { $0["content"]?.asString ?? "" }
        #expect(texts.count == 4)
        #expect(texts[0].contains("{\"name\":\"time\"}"))
        #expect(texts[2] == "<tool_call>\n{\"name\":\"time\",\"arguments\":{\"zone\":\"UTC\"}}\n</tool_call>")
        #expect(texts[3] == "<tool_response>\n12:00\n</tool_response>")
    }

    /// Models that see images get contents in parts.
    @Test func conversationsInPartsAreToldInText() throws {
        let messages =
            try Value(
                json: #"""
                    [{"role": "assistant", "content": [{"type": "text", "text": "Looking"}], "tool_calls": [{"function": {"name": "time", "arguments": {}}}]},
                    {"role": "tool", "content": [{"type": "text", "text": "42"}]},
                    {"role": "assistant", "content": [], "tool_calls": [{"function": {"name": "time", "arguments": {}}}]}]
                    """#
            ).array ?? []
        let call = "<tool_call>\n{\"name\":\"time\",\"arguments\":{}}\n</tool_call>"
        let texts = ToolPrompt.messages(messages, tools: []).map { message in
            message["content"]?.array?.map { $0["text"]?.asString ?? "" } ?? []
        }
        #expect(texts == [["Looking", "\n" + call], ["<tool_response>\n", "42", "\n</tool_response>"], [call]])
        let open = MessageReader.appended("…", to: messages[0]["content"] ?? .null)
        #expect(open?.array?.last?["text"]?.asString == "Looking…")
        #expect(MessageReader.appended("…", to: .list([.dictionary([("type", .string("image"))])])) == nil)
    }
}
