import ArgumentParser
import Martlet
import MartletCheckpoints
import MartletJinja
import MartletTokenizers

struct TemplateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "template",
        abstract: "Print a conversation as the model's chat template renders it.",
        discussion: """
            The file is a JSON object: "messages" is the conversation, "tools" the tools, "add_generation_prompt" (true by \
            default) ends the text where the model's answer begins; every other key is a variable of the template. The text \
            is printed exactly: no newline is added.
            """)

    @OptionGroup var source: RequiredModelArgument
    @Argument(help: "A JSON file, or - for standard input.", completion: .file(extensions: ["json"]))
    var file: String
    @OptionGroup var templateOptions: ChatTemplateOptions
    @Flag(help: "Print the text as a JSON string.")
    var json = false

    func run() throws {
        let checkpoint = try Checkpoint(path: source.path())
        let template = try ChatTemplate(
            checkpoint.configuration, tokenizer: Tokenizer(checkpoint), replacement: templateOptions.source())
        guard let template else { throw CommandFailure("\(checkpoint.path) has no chat template") }
        let arguments = try templateOptions.arguments().mapValues(\.value)
        let variables = arguments.merging(try Self.variables(InputFile.readText(file), name: file)) { $1 }
        let text: String
        do {
            text = try template.render(variables)
        } catch {
            throw CommandFailure("chat template: \(error.description)")
        }
        if json { try JSONOutput.print(text) } else { try StandardStream.output.write(text) }
    }

    /// The template's variables: the file's, and those that every template may expect as transformers passes them.
    private static func variables(_ conversation: String, name: String) throws -> [String: Value] {
        var variables: [String: Value] = ["tools": .null, "documents": .null, "add_generation_prompt": .bool(true)]
        do {
            guard case .dictionary(let conversation) = try Value(json: conversation) else {
                throw CommandFailure("\(name): not a JSON object")
            }
            guard conversation["messages"] != nil else { throw CommandFailure("\(name): has no \"messages\"") }
            for case (.string(let key), let value) in zip(conversation.keys, conversation.values) {
                variables[key] = value
            }
        } catch let error as JinjaError {
            throw CommandFailure("\(name): \(error.description)")
        }
        return variables
    }
}
