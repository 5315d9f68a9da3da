package import MartletJinja

/// A model's chat template: messages become the prompt that it was trained on.
///
/// Variables and settings are those of `transformers`' `apply_chat_template`.
package struct ChatTemplate: Sendable {
    private let template: Template
    private let tokenizer: Tokenizer
    private let clock: Clock

    /// - Throws: where the source is not a template.
    package init(_ source: String, tokenizer: Tokenizer, clock: Clock = .local) throws(JinjaError) {
        template = try Template(source)
        self.tokenizer = tokenizer
        self.clock = clock
    }

    /// The rendered prompt.
    ///
    /// - Parameter context: `messages`, `tools`, `add_generation_prompt` and whatever else the template reads.
    package func render(_ context: [String: Value]) throws(JinjaError) -> String {
        var context = context
        let special = tokenizer.specialTokens
        for (name, id) in [
            ("bos_token", special.beginningOfSequence), ("eos_token", special.endOfSequence),
            ("unk_token", special.unknown), ("pad_token", special.padding),
        ] where context[name] == nil {
            context[name] = id.flatMap(tokenizer.spelling).map(Value.string)
        }
        return try template.render(context, clock: clock)
    }

    /// The tokens of the rendered prompt. What the template spells becomes special tokens; what `messages`, `tools` and the
    /// other variables spell stays text.
    package func tokens(_ context: [String: Value]) throws(JinjaError) -> [TokenID] {
        let text = try render(context.mapValues(guarded))
        return tokenizer.encode(text, addSpecialTokens: false, parseSpecial: true)
    }

    private func guarded(_ value: Value) -> Value {
        switch value {
        case .string(let text): .string(SpecialTokenGuard.guarding(text, tokenizer.addedTokens))
        case .list(let list): .list(list.elements.map(guarded))
        case .dictionary(let dictionary):
            .dictionary(dictionary.mapValues(guarded))
        default: value
        }
    }
}
