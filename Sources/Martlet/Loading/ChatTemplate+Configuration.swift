package import MartletCheckpoints
import MartletJinja
package import MartletTokenizers

extension ChatTemplate {
    /// A model's chat template: `replacement`, or what the checkpoint says, or the built-in one of a format that the
    /// checkpoint is known to speak (`BuiltInChatTemplate`); nil if there is none of these.
    ///
    /// - Throws: `EngineError` for a source that is no template.
    package init?(
        _ configuration: ModelConfiguration, tokenizer: Tokenizer, replacement: String? = nil
    ) throws(EngineError) {
        var sources: [String: String] = [:]
        if let replacement {
            sources[Self.defaultName] = replacement
        } else if let template = configuration.chatTemplate {
            sources[Self.defaultName] = template
            sources[Self.toolName] = configuration.toolChatTemplate
        } else if let format = BuiltInChatTemplate(architecture: configuration.architecture, tokenizer: tokenizer) {
            sources[Self.defaultName] = format.source
        } else {
            return nil
        }
        do {
            // The template of LLaVA leaves the first token to the processor.
            try self.init(
                sources: sources, tokenizer: tokenizer, addsBeginning: configuration.architecture.hasPrefix("llava"))
        } catch {
            throw EngineError(.invalidChatTemplate, "the chat template is broken: \(error)")
        }
    }
}
