import ArgumentParser
import Martlet

/// How conversations become prompts.
struct ChatTemplateOptions: ParsableArguments {
    @Option(
        help: "A Jinja file to use in the place of the model's chat template.", completion: .file(extensions: ["jinja"])
    )
    var chatTemplate: String?
    @Option(
        help: ArgumentHelp(
            "Variables of the chat template: a JSON object.",
            discussion: "What a model's template knows differs: Qwen3's takes '{\"enable_thinking\": false}'.",
            valueName: "json"))
    var chatTemplateArgs: String?

    /// The file's text.
    func source() throws -> String? { try chatTemplate.map(InputFile.readText) }

    func arguments() throws -> [String: TemplateValue] {
        guard let chatTemplateArgs else { return [:] }
        do {
            return try TemplateValue.members(json: chatTemplateArgs)
        } catch {
            throw CommandFailure("--chat-template-args: \(error.description)")
        }
    }

    func apply(to options: inout LoadOptions) throws {
        options.chatTemplate = try source()
        options.chatTemplateArguments = try arguments()
    }
}
