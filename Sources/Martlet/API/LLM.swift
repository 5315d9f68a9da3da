import Foundation
public import MartletCheckpoints
public import MartletGrammar
import MartletGraph
package import MartletJinja
package import MartletTokenizers

/// A model that answers: the way into Martlet for programs.
///
///     let llm = try await LLM.load("SmolLM2-135M-Instruct.Q4_1.gguf")
///     let question = ChatMessage(role: "user", content: "Why is the sky blue?")
///     for try await output in try await llm.generate([question]) {
///         print(output.text, terminator: "")
///     }
public final class LLM: Sendable {
    /// What the checkpoint says about the model.
    public let configuration: ModelConfiguration
    /// Tokens of prompt and answer together, at most.
    public let contextLength: Int
    /// Tokens that the KV cache holds, of all requests together, and the bytes that they take.
    public let cacheTokens: Int
    public let cacheBytes: Int
    /// Seconds that loading took.
    public let loadTime: Double
    package let tokenizer: Tokenizer
    private let chatTemplate: ChatTemplate?
    private let chatTemplateArguments: [String: TemplateValue]
    let engine: LLMEngine
    /// Nil in models that don't see.
    let images: ImageEncoder?
    private let grammars: GrammarCache

    /// Loads a model.
    ///
    /// - Parameters:
    ///   - path: a `.gguf` file, or a folder with `config.json`, safetensors and `tokenizer.json`.
    ///   - progress: called with 0 to 1 while weights are repacked.
    /// - Throws: `CheckpointError` for a file that is no model that Martlet knows, or what keeps it from running here.
    public static func load(
        _ path: String, options: LoadOptions = .init(), engine: EngineOptions = .init(),
        progress: @escaping @Sendable (Double) -> Void = { _ in }
    ) async throws -> LLM {
        // Repacking keeps all processors busy for a while: not on the pool that serves everybody else.
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(with: Result { try LLM(path, options, engine, progress) })
            }
        }
    }

    private init(
        _ path: String, _ options: LoadOptions, _ engineOptions: EngineOptions, _ progress: @Sendable (Double) -> Void
    ) throws {
        var modelOptions = options
        modelOptions.givesHiddenStates = true
        let model = try LoadedModel(path: path, options: modelOptions, progress: progress)
        configuration = model.configuration
        contextLength = model.contextLength
        cacheTokens = model.compiled.kvRows
        cacheBytes = model.compiled.memory.kvCache
        loadTime = model.loadTime
        guard let tokenizer = model.tokenizer else {
            throw CheckpointError(file: path, reason: "has no tokenizer.json")
        }
        self.tokenizer = tokenizer
        grammars = GrammarCache(tokenizer)
        chatTemplate = try ChatTemplate(configuration, tokenizer: tokenizer, replacement: options.chatTemplate)
        chatTemplateArguments = options.chatTemplateArguments
        if let vision = try model.makeVision() { images = ImageEncoder(vision) } else { images = nil }
        var endTokens = configuration.eosTokenIDs.map { Int32(truncatingIfNeeded: $0) }
        endTokens += tokenizer.endTokens.filter { !endTokens.contains($0) }
        let proposer: (any DraftProposer)? =
            switch engineOptions.speculation {
            case nil: nil
            case .ngram: NGramProposer()
            case .model(let path):
                try DraftModelProposer(
                    path: path, options: options, tokenizer: tokenizer, vocabularySize: model.vocabularySize)
            }
        engine = try LLMEngine(
            ModelRunner(model.compiled, hiddenStates: model.hiddenStates), contextLength: contextLength,
            endTokens: endTokens, options: engineOptions,
            proposer: proposer)
    }

    /// The prompt that the model's chat template makes of a conversation, ready for the assistant's answer.
    ///
    /// Text in messages never turns into special tokens, whatever it spells.
    ///
    /// - Parameters:
    ///   - tools: descriptions of functions that the model may call, in the format of OpenAI's API.
    ///   - chatTemplateArguments: more variables of the template, such as `enable_thinking`.
    /// - Throws: `EngineError` if the model has no chat template, or if the template refuses the conversation.
    public func prompt(
        for messages: [ChatMessage], tools: [TemplateValue]? = nil,
        chatTemplateArguments: [String: TemplateValue] = [:]
    ) throws(EngineError) -> Prompt {
        let files = messages.flatMap(\.images)
        guard files.isEmpty || images != nil else {
            throw EngineError(.invalidPrompt, "the model does not see images", parameter: "image")
        }
        let list = messages.map { $0.templateValue(inParts: images != nil) }
        var variables: [String: Value] = ["add_generation_prompt": .bool(true)]
        variables.merge(chatTemplateArguments.mapValues(\.value)) { $1 }
        variables["messages"] = .list(list)
        variables["tools"] = tools.map { .list($0.map(\.value)) } ?? .null
        let ids = try promptTokens(template: variables)
        return .chat(tokens: ids, images: files)
    }

    /// The tokens of what the chat template makes of its variables.
    ///
    /// - Parameter isContinued: ends them where the last message has `ChatTemplate.endMark`.
    package func promptTokens(
        template variables: [String: Value], isContinued: Bool = false
    ) throws(EngineError) -> [Int] {
        try withTemplate(variables) { (template, all) throws(JinjaError) in
            try template.tokens(all, isContinued: isContinued).map(Int.init)
        }
    }

    /// What the chat template makes of its variables, as text.
    package func promptText(
        template variables: [String: Value], isContinued: Bool = false
    ) throws(EngineError) -> String {
        try withTemplate(variables) { (template, all) throws(JinjaError) in
            try template.render(all, isContinued: isContinued)
        }
    }

    /// Whether the chat template's source has this text in it.
    package func templateSpells(_ text: String) -> Bool { chatTemplate?.spells(text) ?? false }

    private func withTemplate<Result>(
        _ variables: [String: Value], _ body: (ChatTemplate, [String: Value]) throws(JinjaError) -> Result
    ) throws(EngineError) -> Result {
        guard let chatTemplate else {
            throw EngineError(.noChatTemplate, "the model has no chat template: give it a plain prompt")
        }
        // Templates ask for `tools is none`: what a conversation has none of is there, and null, as in transformers.
        var all: [String: Value] = ["tools": .null, "documents": .null]
        all.merge(chatTemplateArguments.mapValues(\.value)) { $1 }
        all.merge(variables) { $1 }
        do {
            return try body(chatTemplate, all)
        } catch {
            throw EngineError(.invalidChatTemplate, "the chat template refuses the conversation: \(error)")
        }
    }

    /// What the model's makers recommend for sampling.
    public var defaultParameters: SamplingParameters { SamplingParameters(configuration.generationDefaults) }

    /// Whether `prompt(for:)` can work.
    public var hasChatTemplate: Bool { chatTemplate != nil }

    /// Continues a prompt. The answer's parts come as they are drawn; ending the loop over them ends the request.
    ///
    /// - Throws: why the request is refused; an error later on is thrown by the stream. Both are `EngineError`s.
    public func generate(
        _ prompt: Prompt, _ parameters: SamplingParameters = .init(), options: RequestOptions = .init()
    ) async throws(EngineError) -> AsyncThrowingStream<RequestOutput, any Error> {
        // Before the words are tokenized: their number and length are bounded there.
        try parameters.validate()
        var options = options
        options.arrival = options.arrival ?? .now
        var grammar: Grammar?
        if let structure = parameters.structure {
            grammar = try await grammars.grammar(structure, RequestTerms(options))
        }
        // The place in the queue comes first: images wait to be encoded, and no more of them than may.
        let count = parameters.drawnCount
        try engine.gauge.enter(count)
        let request: EngineRequest
        do throws(EngineError) {
            request = try await self.request(prompt, parameters, options, grammar)
        } catch {
            engine.gauge.leave(count)
            throw error
        }
        return try await engine.submit(request, places: count)
    }

    private func request(
        _ prompt: Prompt, _ parameters: SamplingParameters, _ options: RequestOptions, _ grammar: Grammar?
    ) async throws(EngineError) -> EngineRequest {
        let (tokens, features) = try await read(prompt, RequestTerms(options))
        // A prompt of nothing but special tokens is no text yet.
        let continuesText = prompt.continuesText && tokens.contains { !tokenizer.isSpecial($0) }
        var request = EngineRequest(
            prompt: tokens, parameters: parameters, options: options,
            badWords: tokenizer.sequences(spelling: parameters.badWords),
            decoder: StreamingDetokenizer(
                tokenizer, skipSpecialTokens: parameters.skipSpecialTokens, continuesText: continuesText))
        request.features = features
        request.matcher = grammar.map { GrammarMatcher($0, continuesText: continuesText) }
        return request
    }

    /// An id beyond 32 bits is no token; the engine refuses -1 by name.
    static func tokens(_ ids: [Int]) -> [Int32] { ids.map { Int32(exactly: $0) ?? -1 } }

    /// - Throws: `invalidPrompt` for what the engine would refuse.
    package func checkPrompt(_ ids: [Int]) throws(EngineError) {
        try EngineRequest.check(Self.tokens(ids), vocabularySize: vocabularySize)
    }

    private func read(
        _ prompt: Prompt, _ terms: RequestTerms
    ) async throws(EngineError) -> (tokens: [Int32], features: TokenFeatures?) {
        switch prompt {
        case .text(let text): return (tokenizer.encode(text, addSpecialTokens: true), nil)
        case .tokens(let ids), .chat(let ids, [], _): return (Self.tokens(ids), nil)
        case .chat(let ids, let files, _):
            guard let images else {
                throw EngineError(.invalidPrompt, "the model does not see images", parameter: "image")
            }
            let prompt = try await images.prompt(Self.tokens(ids), files, terms)
            return (prompt.tokens, prompt.features)
        }
    }

    /// Whether a request would find a place in the queue, without asking the engine.
    ///
    /// - Throws: `queueFull`.
    package func checkQueue() throws(EngineError) { try engine.gauge.check() }

    /// Compiles a structure, or finds out why that can't be, before it is part of a request. It is kept for a while.
    ///
    /// - Parameter options: of the request: how long it may wait.
    /// - Throws: `invalidParameter` for `structure`; `queueFull`, `queueTimeout`, `deadlineExceeded`.
    public func prepare(
        _ structure: OutputStructure, options: RequestOptions = .init()
    ) async throws(EngineError) {
        _ = try await grammars.grammar(structure, RequestTerms(options))
    }

    /// How many requests a caller should have with the engine at once to keep it busy: those that run, and as many that
    /// wait for their turn.
    package var concurrency: Int { min(2 * engine.limits.maxRequests, engine.limits.maxQueuedRequests) }

    /// Answers to one prompt that the engine can ever have at a time.
    package var mostChoices: Int { engine.limits.maxRequests + engine.limits.maxQueuedRequests }

    /// Whether messages may show images.
    public var seesImages: Bool { images != nil }

    /// What the engine has done so far and is doing now.
    public var statistics: EngineStatistics {
        get async { await engine.statistics }
    }

    /// Prompts that share the turn of these options come one after the other: draining lets them come to their end.
    package func beginList(_ options: RequestOptions) {
        if let turn = options.turn { engine.lists.begin(turn) }
    }

    package func endList(_ options: RequestOptions) {
        if let turn = options.turn { engine.endList(turn) }
    }

    /// Takes no more requests, and returns when those that are there have ended. `shutdown()` ends the wait.
    public func drain() async { await engine.drain() }

    /// Ends all requests with an error, and takes no more.
    public func shutdown() async { await engine.shutdown() }
}
