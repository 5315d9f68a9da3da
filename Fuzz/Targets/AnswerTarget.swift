import MartletJinja

@testable import MartletServer

#if !FUZZING
    @testable import MartletCLI
#endif

extension FuzzTarget {
    /// The bytes are an answer, read for calls of functions, and a stream of events. However they are cut into parts, what is
    /// read is the same, and a text without calls is passed on as it is.
    static let answer = FuzzTarget(name: "answer", longest: 4096) {
        [
            "\u{0}\u{1}Let me see.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, \"}\"]}}\n</tool_call>\n<tool_call>{\"arguments\": {}, \"name\": \"g\"}</tool_call>",
            "\u{1}\u{2}<|python_tag|>{\"name\": \"f\", \"parameters\": {\"a\": \"\\\"\"}}; {\"name\": \"g\", \"parameters\": {}}",
            "\u{2}\u{3}[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": null}]",
            "\u{2}\u{3}[TOOL_CALLS]f[ARGS]{\"a\": 1}[TOOL_CALLS]g{}",
            "\u{3}\u{1}<tool_call>{\"name\": \"f\"}</tool_call> x",
            "\u{0}\u{4}a < b <tool   ",
            "\u{0}\u{1}data: {\"a\": 1}\r\n\r\n: ping\n\nevent: x\ndata:y\ndata: z\n\ndata: [DONE]\n\n",
        ].map { Array($0.utf8) }
    } read: { bytes in
        guard bytes.count >= 2 else { return }
        let formats = [ToolFormat.hermes, .llama3, .mistral]
        let isForced = bytes[0] / 3 % 2 == 1
        let functions = ["f", "g"].map { ToolUse.Function(name: $0, document: .null) }
        let use = ToolUse(
            functions: functions, choice: isForced ? .required : .auto, allowsSeveral: bytes[0] / 6 % 2 == 0,
            format: formats[Int(bytes[0] % 3)])
        let text = String(decoding: bytes.dropFirst(2), as: UTF8.self)
        let whole = read(use, text, part: .max)
        let cut = read(use, text, part: Int(bytes[1] % 16) + 1)
        precondition(whole.text.unicodeScalars.elementsEqual(cut.text.unicodeScalars) && whole.calls == cut.calls)
        if whole.calls.isEmpty {
            let isBlank = text.unicodeScalars.allSatisfy { $0.properties.isWhitespace }
            precondition(whole.text.unicodeScalars.elementsEqual(text.unicodeScalars) || isBlank, "\(whole) \(text)")
        }

        let stream = bytes.dropFirst(2)
        var reader = ServerSentEventReader()
        let events = reader.append(stream)
        var slow = ServerSentEventReader()
        precondition(events == stream.flatMap { slow.append([$0]) })
    }

    private static func read(_ use: ToolUse, _ text: String, part: Int) -> (text: String, calls: [String]) {
        var parser = ToolCallParser(use)
        var events: [ToolCallParser.Event] = []
        var rest = text.unicodeScalars[...]
        while !rest.isEmpty {
            events += parser.append(String(String.UnicodeScalarView(rest.prefix(part))))
            rest = rest.dropFirst(part)
        }
        events += parser.finish()
        var result = (text: "", calls: [String]())
        for event in events {
            switch event {
            case .text(let part): result.text += part
            case .call(let index, let name):
                precondition(index == result.calls.count)
                result.calls.append(name + " ")
            case .arguments(let index, let part): result.calls[index] += part
            }
        }
        return result
    }
}
