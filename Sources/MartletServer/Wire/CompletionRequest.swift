import Foundation
package import Martlet
package import MartletJinja

/// A request for chat or text completions, checked and tokenized: what `/v1/chat/completions` and `/v1/completions` have in
/// common.
package struct CompletionRequest: Sendable {
    package enum Kind: Sendable, Hashable {
        case chat
        case text

        /// The field that holds the prompt.
        var promptField: String { self == .chat ? "messages" : "prompt" }
    }

    package let kind: Kind
    /// Each has `parameters.n` choices in the answer.
    package let prompts: [[Int]]
    /// The images that a chat shows.
    let images: [Data]
    /// The answer of a chat goes on with its last message.
    private let isContinued: Bool
    package let parameters: SamplingParameters
    package var options: RequestOptions
    /// What text completions repeat of their prompts before what they add, and what chats repeat of the message that they
    /// continue.
    package let echo: Echo
    /// Functions that the answer may call.
    let tools: ToolUse?
    /// The field that asked for `parameters.structure`.
    private let structureField: String?
    package let streams: Bool
    package let includesUsage: Bool
    /// Fields that nobody knows. They are not used, and the caller is told.
    package let unknownFields: [String]

    package struct Echo: Sendable, Hashable {
        /// One for each prompt; empty for no echo.
        package var texts: [String] = []
        /// Nothing is added (`max_tokens: 0`): the request is for the prompt's own log-probabilities.
        package var isAll = false
        /// The log-probabilities of the prompt's tokens are part of `logprobs`.
        package var hasLogprobs = false
    }

    /// What `max_tokens` is for text completions where it is not given, as in OpenAI's API. Chats end by themselves.
    package static let defaultTextTokens = 16

    /// Compiles the structure that answers are held to, before anything is begun.
    ///
    /// - Throws: 400 for one that can't be compiled, 408, 429 or 503 where that takes too long; `CancellationError`.
    package func prepare(on llm: LLM) async throws {
        guard let structure = parameters.structure else { return }
        do {
            try await llm.prepare(structure, options: options)
        } catch {
            try Task.checkCancellation()
            guard error.code == .invalidParameter else { throw APIError(error, prompt: kind.promptField) }
            throw APIError.value(
                structureField ?? "structure", error.message.replacing("structure is refused: ", with: ""))
        }
    }

    /// How many choices the answer has.
    package var choiceCount: Int { prompts.count * parameters.n }

    /// What the engine continues.
    func prompt(_ index: Int) -> Prompt {
        kind == .text
            ? .tokens(prompts[index]) : .chat(tokens: prompts[index], images: images, isContinued: isContinued)
    }

    /// What a choice begins with.
    func echoText(_ choice: Int) -> String { echo.texts.isEmpty ? "" : echo.texts[choice / parameters.n] }

    /// - Parameters:
    ///   - isCounted: only the prompt's tokens are asked for, however many these are.
    ///   - textTokens: what `max_tokens` is for text completions where it is not given; nil for what the context leaves.
    /// - Throws: `APIError`, for what the caller did wrong.
    package init(
        _ kind: Kind, _ document: Value, for model: ServedModel, isCounted: Bool = false,
        textTokens: Int? = Self.defaultTextTokens
    ) throws(APIError) {
        var fields = try RequestFields(document)
        if let name = try fields.string("model"), !model.names.contains(name) { throw .modelNotFound(name) }
        self.kind = kind
        var echo = Echo()
        switch kind {
        case .chat:
            tools = try fields.toolUse(ToolFormat(model.llm), limit: model.limits.tools)
            let prompt = try fields.chatPrompt(model, tools: tools?.functions.map(\.document) ?? [])
            prompts = [try prompt.tokens(model.llm)]
            images = prompt.images
            isContinued = prompt.isContinued
        case .text:
            (prompts, echo.texts) = try fields.textPrompts(model)
            images = []
            isContinued = false
            tools = nil
            if try fields.bool("echo") != true { echo.texts = [] }
        }
        let logprobs = try kind == .chat ? fields.chatLogprobs() : fields.integer("logprobs")
        streams = try fields.bool("stream") ?? false
        includesUsage = try fields.includesUsage(streams: streams)
        if !echo.texts.isEmpty, !streams { echo.isAll = try fields.takeZero("max_tokens") }
        var parameters = try fields.samplingParameters(model.llm.defaultParameters, model.limits)
        if echo.isAll { parameters.maxTokens = 1 }
        parameters.logprobs = logprobs
        if let logprobs, !echo.texts.isEmpty {
            guard parameters.promptLogprobs == nil else {
                throw .value("prompt_logprobs", "must not be there together with 'echo' and 'logprobs'")
            }
            parameters.promptLogprobs = logprobs
            echo.hasLogprobs = true
        } else if parameters.promptLogprobs != nil, streams {
            throw .unsupported("prompt_logprobs", "is not supported when 'stream' is true")
        }
        if parameters.bestOf != nil, streams { throw .unsupported("best_of", "is not supported when 'stream' is true") }
        if kind == .text, parameters.maxTokens == nil, let textTokens {
            parameters.maxTokens = max(textTokens, parameters.minTokens)
        }
        structureField = try parameters.hold(to: fields.structure(model.limits), tools)
        if let logprobs, !(0...model.limits.logprobs).contains(logprobs) {
            throw .value(
                kind == .chat ? "top_logprobs" : "logprobs",
                "must be between 0 and \(model.limits.logprobs), but is \(logprobs)")
        }
        self.parameters = parameters
        self.echo = echo
        let choices = prompts.count * parameters.drawnCount
        guard choices <= model.limits.choices else {
            throw .value("n", "may ask for \(model.limits.choices) answers to all prompts together at most")
        }
        guard parameters.drawnCount <= model.llm.mostChoices else {
            throw .value(
                parameters.bestOf == nil ? "n" : "best_of",
                "may be at most \(model.llm.mostChoices): more answers never run and wait at once here")
        }
        options = try fields.requestOptions()
        try fields.refuseUnsupported()
        unknownFields = fields.remaining
        guard !isCounted else { return }
        for prompt in prompts {
            do {
                try model.llm.checkPrompt(prompt)
            } catch {
                throw APIError(error, prompt: kind.promptField)
            }
        }
        let limit = model.llm.contextLength
        for prompt in prompts where parameters.maxTokens ?? 1 > limit - prompt.count {
            throw .contextLengthExceeded(
                prompt: prompt.count, completion: parameters.maxTokens, limit: limit, parameter: kind.promptField)
        }
    }
}

extension SamplingParameters {
    /// Holds answers to the form that was asked for, and to calls of functions.
    ///
    /// - Returns: the field that asked for a form; nil for none.
    /// - Throws: 400 for a structure that doesn't go together with other fields.
    fileprivate mutating func hold(
        to requested: RequestedStructure?, _ tools: ToolUse?
    ) throws(APIError) -> String? {
        if let tools {
            if let requested, tools.isForced {
                throw .value(requested.field, "must not be there where 'tool_choice' asks for a call")
            }
            if let requested, tools.format == .mistral {
                throw .value(
                    requested.field,
                    "must not be there together with 'tools': this model's calls begin with a token that is no text")
            }
            if tools.format.needsSpecialTokens { skipSpecialTokens = false }
            structure = tools.structure(requested?.structure)
        }
        structure = structure ?? requested?.structure
        guard structure != nil else { return nil }
        let field = requested?.field ?? "tools"
        do {
            try validate()
        } catch {
            throw APIError(error, prompt: field)
        }
        return field
    }
}

/// A model under the names that requests may call it by.
package struct ServedModel: Sendable {
    package let llm: LLM
    /// The first is the one that answers carry.
    package let names: [String]
    /// When the server took it up, in Unix seconds.
    package let created: Int
    /// What one request may ask for.
    package let limits: ServerLimits

    package init(_ llm: LLM, names: [String], created: Int, limits: ServerLimits = .init()) {
        self.limits = limits
        precondition(!names.isEmpty)
        self.llm = llm
        self.names = names
        self.created = created
    }

    package var name: String { names[0] }
}

extension RequestFields {
    fileprivate mutating func includesUsage(streams: Bool) throws(APIError) -> Bool {
        guard let value = take("stream_options") else { return false }
        guard streams else { throw .value("stream_options", "is only allowed when 'stream' is true") }
        var options = try RequestFields(value)
        let includesUsage = try options.bool("include_usage") ?? false
        // Padding against observers of packet sizes: there are none on a loopback address.
        _ = try options.bool("include_obfuscation")
        if let name = options.remaining.first { throw .unsupported("stream_options.\(name)") }
        return includesUsage
    }

    /// `logprobs: true` and `top_logprobs: k`.
    fileprivate mutating func chatLogprobs() throws(APIError) -> Int? {
        let isWanted = try bool("logprobs") ?? false
        guard let count = try integer("top_logprobs") else { return isWanted ? 0 : nil }
        guard isWanted || count == 0 else { throw .value("top_logprobs", "needs 'logprobs' to be true") }
        return isWanted ? count : nil
    }

    /// Whether the field is 0; it is taken only then.
    fileprivate mutating func takeZero(_ name: String) throws(APIError) -> Bool {
        var copy = self
        guard try copy.integer(name) == 0 else { return false }
        self = copy
        return true
    }

    /// - Returns: the tokens of each prompt, and its text.
    fileprivate mutating func textPrompts(_ model: ServedModel) throws(APIError) -> (tokens: [[Int]], texts: [String]) {
        let addsSpecialTokens = try bool("add_special_tokens") ?? true
        var prompts: (tokens: [[Int]], texts: [String]) = ([], [])
        for prompt in try texts("prompt", limit: model.limits.prompts) {
            switch prompt {
            case .text(let text):
                prompts.tokens.append(model.llm.tokenize(text, addSpecialTokens: addsSpecialTokens))
                prompts.texts.append(text)
            case .tokens(let tokens):
                prompts.tokens.append(tokens)
                prompts.texts.append(model.llm.detokenize(tokens))
            }
        }
        return prompts
    }
}
