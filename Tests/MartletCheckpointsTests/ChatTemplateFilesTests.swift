import Foundation
import TestSupport
import Testing

@testable import MartletCheckpoints

/// Where a folder may keep its chat templates, and which of several counts.
@Suite struct ChatTemplateFilesTests {
    private static let list =
        #"{"chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]}"#

    struct Case: CustomTestStringConvertible {
        let name: String
        let files: [String: String]
        let usual: String?
        let tools: String?

        var testDescription: String { name }
    }

    static let cases = [
        Case(name: "none", files: [:], usual: nil, tools: nil),
        Case(name: "one", files: ["tokenizer_config.json": #"{"chat_template": "C"}"#], usual: "C", tools: nil),
        Case(name: "several", files: ["tokenizer_config.json": list], usual: "D", tools: "T"),
        Case(
            name: "a file of its own", files: ["tokenizer_config.json": list, "chat_template.jinja": "J"],
            usual: "J", tools: nil),
        Case(
            name: "files of their own",
            files: ["chat_template.jinja": "J", "additional_chat_templates/tool_use.jinja": "A"],
            usual: "J", tools: "A"),
        Case(
            name: "the processor's",
            files: ["chat_template.json": #"{"chat_template": "P"}"#, "tokenizer_config.json": list],
            usual: "P", tools: nil),
    ]

    @Test(arguments: cases)
    func templatesAreFound(_ test: Case) throws {
        var model = TinyModelFolder()
        for (name, text) in test.files { model.files[name] = Data(text.utf8) }
        let folder = try model.write()
        let configuration = try Checkpoint(path: folder.path).configuration
        #expect(configuration.chatTemplate == test.usual)
        #expect(configuration.toolChatTemplate == test.tools)
    }

    @Test(arguments: [
        ("tokenizer_config.json", #"{"chat_template": [{"name": "rag", "template": "R"}]}"#, "'default'"),
        ("tokenizer_config.json", #"{"chat_template": 7}"#, "a string"),
        ("chat_template.json", "[]", "not an object"),
        ("chat_template.jinja", "\u{FF}", "UTF-8"),
    ])
    func brokenFilesAreNamed(_ name: String, _ text: String, _ reason: String) throws {
        var model = TinyModelFolder()
        // The last one as Latin-1, which is no UTF-8.
        model.files[name] = try #require(text.data(using: text == "\u{FF}" ? .isoLatin1 : .utf8))
        let folder = try model.write()
        let error = #expect(throws: CheckpointError.self) { try Checkpoint(path: folder.path) }
        #expect(error?.file.hasSuffix(name) == true && error?.reason.contains(reason) == true)
    }
}
