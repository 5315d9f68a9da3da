import ArgumentParser
import Foundation
import Martlet
import MartletCheckpoints

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Ask a model, or chat with it.",
        discussion: """
            With PROMPT, or text on standard input, one answer is written to standard output; with both, the input's text \
            comes first. On a terminal and without either, a chat begins; /help lists its commands.

            A single argument is the MODEL if there is such a file or model. If not, it is the PROMPT for the default model \
            where it has a space in it, and an error where it has none: a misspelled model is never sent as a prompt. To \
            send a single word, name the model too.
            """)

    @Argument(help: ModelHelp.optional) var model: String?
    @Argument(help: "What to ask.") var prompt: String?
    @Flag(help: "Continue the prompt as it is, without the chat template.")
    var raw = false
    @Option(help: "Show a JPEG, PNG or WebP file to a model that sees. May be given again.", completion: .file())
    var image: [String] = []
    @Option(help: "The system prompt.")
    var system: String?
    @OptionGroup var sampling: SamplingOptions
    @Option(help: "Longest context in tokens, prompt and answer together. Default: the model's own limit.")
    var context: Int?
    @OptionGroup var cacheSize: CacheSizeOptions
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var template: ChatTemplateOptions
    @OptionGroup var speculation: SpeculationOptions
    @Flag(help: "Print timings on stderr.")
    var verbose = false

    func validate() throws {
        if let context, context < 1 { throw ValidationError("--context must be at least 1") }
        if raw && !image.isEmpty { throw ValidationError("--raw and --image exclude each other") }
        if raw && system != nil { throw ValidationError("--raw and --system exclude each other") }
        if raw && (template.chatTemplate ?? template.chatTemplateArgs) != nil {
            throw ValidationError("--raw goes without a chat template")
        }
    }

    func run() async throws {
        let request = try RunArguments(model: model, prompt: prompt, lookup: ModelLookup())
        let input = try Self.pipedInput(hasPrompt: request.prompt != nil)
        let question = RunArguments.joined(input: input, prompt: request.prompt)
        let isChat = question == nil
        if isChat {
            guard StandardStream.input.isTerminal, StandardStream.output.isTerminal else {
                throw CommandFailure("no prompt: give one, or write it to standard input")
            }
            guard !raw else { throw CommandFailure("--raw needs a prompt") }
            guard image.isEmpty else { throw CommandFailure("--image needs a prompt") }
        }
        let images = try image.map { ChatMessage.Part.image(try ImageFile.read($0)) }
        let model = try await load(request.path)
        if let context, context > model.contextLength {
            throw CommandFailure("--context \(context) is more than the \(model.contextLength) tokens that fit")
        }
        let parameters = try sampling.parameters(model.configuration.generationDefaults)
        if let question {
            try await answer(question, images, model, parameters)
        } else {
            if verbose { Terminal.warn(String(format: "load %.2f s", model.loadTime)) }
            let chat = ChatLoop(
                model, path: request.path, system: system, parameters: parameters, isVerbose: verbose)
            try await chat?.run()
        }
        await model.shutdown()
    }

    private func load(_ path: String) async throws -> LLM {
        var options = compute.loadOptions
        options.contextLength = context
        options.maxRequests = 1
        try template.apply(to: &options)
        cacheSize.apply(to: &options)
        let bar = ProgressBar("loading")
        defer { bar.finish() }
        var engine = EngineOptions()
        try speculation.apply(to: &engine)
        return try await LLM.load(path, options: options, engine: engine) { bar.update($0) }
    }

    private func answer(
        _ question: String, _ images: [ChatMessage.Part], _ model: LLM, _ parameters: SamplingParameters
    ) async throws {
        var conversation = Conversation()
        conversation.system = system
        var messages = conversation.messages(asking: question)
        // What is asked about comes first, as in the models' own examples.
        messages[messages.count - 1].parts.insert(contentsOf: images, at: 0)
        let prompt = raw ? .text(question) : try model.prompt(for: messages)
        let answer = try await AnswerStream.write(model.generate(prompt, parameters))
        // A file or a pipe gets the answer as it is, but always whole lines.
        if !answer.text.hasSuffix("\n") { try StandardStream.output.write("\n") }
        guard verbose else { return }
        if let last = answer.last { Terminal.warn(AnswerStream.timings(last, loadTime: model.loadTime)) }
        if let guesses = await model.statistics.speculation { Terminal.warn(guesses.text(since: .init())) }
    }

    /// What is piped in. Beside a prompt only pipes and files count: services are started with other inputs that never end.
    private static func pipedInput(hasPrompt: Bool) throws -> String? {
        if StandardStream.input.isTerminal { return nil }
        if hasPrompt && !StandardStream.input.isPipeOrFile { return nil }
        return String(decoding: try StandardStream.input.readAll(), as: UTF8.self)
    }
}

/// Which of the positional arguments of `run` is what.
struct RunArguments: Equatable {
    let path: String
    let prompt: String?

    /// - Throws: `CommandFailure` where there is no such model.
    init(model: String?, prompt: String?, lookup: ModelLookup) throws {
        if let model, prompt == nil, lookup.find(model) == nil, !ModelLookup.looksLikePath(model) {
            guard model.contains(where: \.isWhitespace) else {
                throw CommandFailure(
                    Self.explanation(of: model, (try? lookup.resolve(nil)) ?? ModelLookup.defaultName))
            }
            path = try lookup.resolve(nil)
            self.prompt = model
        } else {
            path = try lookup.resolve(model)
            self.prompt = prompt
        }
    }

    private static func explanation(of word: String, _ path: String) -> String {
        let name = URL(filePath: path).deletingPathExtension().lastPathComponent
        return "no model '\(word)'; to send it as a prompt: martlet run \(name) '\(word)'"
    }

    /// As Ollama joins them; nil where there is nothing to say.
    static func joined(input: String?, prompt: String?) -> String? {
        let parts = [input, prompt].compactMap { $0 }.filter { !$0.allSatisfy(\.isWhitespace) }
        return parts.isEmpty ? nil : parts.joined(separator: " ")
    }
}
