package import MartletJinja

/// A model's chat template: messages become the prompt that it was trained on.
///
/// Variables and settings are those of `transformers`' `apply_chat_template`.
package struct ChatTemplate: Sendable {
    private let standard: Template
    /// For conversations with tools, where the model has a template of its own for them.
    private let withTools: Template?
    private let sources: [String]
    private let tokenizer: Tokenizer
    private let addsBeginning: Bool
    private let clock: Clock

    /// The name of the template that is taken where there are several, and of that for conversations with tools.
    package static let defaultName = "default"
    package static let toolName = "tool_use"

    /// A noncharacter, which no text may hold.
    package static let endMark = String(decoding: [0xEF, 0xB7, 0x91], as: UTF8.self)
    private static let endScalar: UInt32 = 0xFDD1

    /// - Parameters:
    ///   - sources: Jinja by name; a single template is called "default".
    ///   - addsBeginning: Whether the tokenizer's special tokens are put around a prompt that does not spell the first of them
    ///     itself, as the processors of models with images do. The prompts of other models are what the template says.
    /// - Throws: where a source is not a template, or there is none called "default".
    package init(
        sources: [String: String], tokenizer: Tokenizer, addsBeginning: Bool = false, clock: Clock = .local
    ) throws(JinjaError) {
        guard let source = sources[Self.defaultName] else {
            let names = sources.keys.sorted().joined(separator: ", ")
            throw JinjaError(.syntax, "no template is called '\(Self.defaultName)'; there are: \(names)")
        }
        standard = try Template(source)
        var withTools: Template?
        if let source = sources[Self.toolName] { withTools = try Template(source) }
        self.withTools = withTools
        self.sources = Array(sources.values)
        self.tokenizer = tokenizer
        self.addsBeginning = addsBeginning
        self.clock = clock
    }

    package init(_ source: String, tokenizer: Tokenizer, clock: Clock = .local) throws(JinjaError) {
        try self.init(sources: [Self.defaultName: source], tokenizer: tokenizer, clock: clock)
    }

    /// Whether a template's source has this text in it.
    package func spells(_ text: String) -> Bool { sources.contains { $0.contains(text) } }

    /// The rendered prompt.
    ///
    /// - Parameters:
    ///   - context: `messages`, `tools`, `add_generation_prompt` and whatever else the template reads.
    ///   - isContinued: ends the prompt at the last `endMark`, which stands at the end of a message that is to be continued, with
    ///     a space behind it. Where the template has trimmed that, it would have trimmed the message, too.
    package func render(_ context: [String: Value], isContinued: Bool = false) throws(JinjaError) -> String {
        var context = context
        let special = tokenizer.specialTokens
        for (name, id) in [
            ("bos_token", special.beginningOfSequence), ("eos_token", special.endOfSequence),
            ("unk_token", special.unknown), ("pad_token", special.padding),
        ] where context[name] == nil {
            context[name] = id.flatMap(tokenizer.spelling).map(Value.string)
        }
        let hasTools = context["tools"].map { if case .null = $0 { false } else { true } } ?? false
        let text = try (hasTools ? withTools ?? standard : standard).render(context, clock: clock)
        guard isContinued else { return text }
        guard let end = text.unicodeScalars.lastIndex(where: { $0.value == Self.endScalar }) else {
            throw JinjaError(.raised, "the template does not show the last message as it is")
        }
        let prompt = String(text[..<end])
        let keepsSpace = text.unicodeScalars[end...].dropFirst().first == " "
        return keepsSpace ? prompt : prompt.stripped(nil, left: false)
    }

    /// The tokens of the rendered prompt. What the template spells becomes special tokens; what `messages`, `tools` and the
    /// other variables spell, names of members included, stays text. The first token is never doubled.
    ///
    /// - Parameter isContinued: see `render`.
    package func tokens(_ context: [String: Value], isContinued: Bool = false) throws(JinjaError) -> [TokenID] {
        let text = try render(context.mapValues(guarded), isContinued: isContinued)
        var tokens = tokenizer.encode(text, addSpecialTokens: false, parseSpecial: true)
        let post = tokenizer.postProcessor
        if addsBeginning, !post.prefix.isEmpty, tokens.first != post.prefix.first {
            tokens = post.prefix + tokens + post.suffix
        }
        return tokens
    }

    private func guarded(_ value: Value) -> Value {
        switch value {
        case .string(let text): .string(SpecialTokenGuard.guarding(text, tokenizer))
        case .list(let list): .list(list.elements.map(guarded))
        case .dictionary(let dictionary): .dictionary(dictionary.map(guarded))
        default: value
        }
    }
}
