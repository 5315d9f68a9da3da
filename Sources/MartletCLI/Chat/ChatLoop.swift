import Foundation
import Martlet
import MartletCheckpoints

/// The interactive chat.
final class ChatLoop {
    private let model: LLM
    private let modelPath: String
    private let mode: TerminalMode
    private let reader: LineReader
    private let interrupts = InterruptMonitor()
    private var conversation = Conversation()
    private var parameters: SamplingParameters
    private var history = History(file: History.standardFile())
    private var isVerbose: Bool

    private static let prompt = ">>> "
    private static let continuation = "... "
    private static let quotes = "\"\"\""

    /// Nil where standard input is not a terminal.
    init?(_ model: LLM, path: String, system: String?, parameters: SamplingParameters, isVerbose: Bool) {
        guard let mode = TerminalMode() else { return nil }
        self.mode = mode
        self.model = model
        modelPath = path
        reader = LineReader(mode)
        conversation.system = system
        self.parameters = parameters
        self.isVerbose = isVerbose
    }

    /// Returns when the user leaves.
    func run() async throws {
        defer { mode.restore() }
        while let message = try readMessage() {
            switch ChatCommand(message) {
            case .bye: return
            case let command?: try perform(command)
            case nil: try await answer(message)
            }
        }
    }

    /// The next message or command, of several lines perhaps; nil when the user leaves.
    private func readMessage() throws -> String? {
        var lines: [String] = []
        while true {
            let result = try reader.readLine(
                prompt: lines.isEmpty ? Self.prompt : Self.continuation, continuation: Self.continuation,
                placeholder: lines.isEmpty ? "Send a message (/help for help)" : "", history: history.lines)
            switch result {
            case .endOfInput: return nil
            case .interrupted(let wasEmpty):
                if wasEmpty && lines.isEmpty { try say("Ctrl-D or /bye leaves.") }
                lines = []
            case .line(let line):
                lines.append(line)
                guard let message = Self.message(lines) else { continue }
                lines = []
                if message.allSatisfy(\.isWhitespace) { continue }
                history.append(message)
                return message
            }
        }
    }

    /// The message that lines make; nil while its closing quotes are missing.
    static func message(_ lines: [String]) -> String? {
        let text = lines.joined(separator: "\n")
        guard text.hasPrefix(quotes) else { return text }
        let body = text.dropFirst(quotes.count)
        guard body.hasSuffix(quotes) else { return nil }
        return String(body.dropLast(quotes.count).trimmingPrefix("\n"))
    }

    private func answer(_ question: String) async throws {
        do {
            let prompt = try model.prompt(for: conversation.messages(asking: question))
            let (model, parameters) = (model, parameters)
            let before = await model.statistics.speculation
            let answer = try await interrupts.run {
                try await AnswerStream.write(model.generate(prompt, parameters))
            }
            conversation.append(question: question, answer: answer.text)
            try StandardStream.output.write("\n\n")
            guard isVerbose else { return }
            if let last = answer.last { Terminal.warn(AnswerStream.timings(last, loadTime: nil)) }
            if let before, let now = await model.statistics.speculation { Terminal.warn(now.text(since: before)) }
            Terminal.warn("")
        } catch let error as EngineError {
            // The conversation is too long, or a parameter wrong: the user can do something about it.
            let hint = error.code == .contextLengthExceeded ? " (/clear forgets the conversation)" : ""
            Terminal.warn("martlet: error: \(error.description.singleLine)\(hint)\n")
        }
    }

    private func perform(_ command: ChatCommand) throws {
        switch command {
        case .help: try say(ChatCommand.helpText)
        case .bye: break
        case .clear:
            conversation.removeAll()
            try say("The conversation is forgotten.")
        case .system(nil): try show(.system)
        case .system(let text?):
            conversation.system = text.isEmpty ? nil : text
            try say(text.isEmpty ? "The system prompt is removed." : "The system prompt is set.")
        case .set(let name, let values):
            do {
                try ChatParameter.set(name, values, in: &parameters)
                try say(ChatParameter.confirmation(name, values))
            } catch {
                Terminal.warn("martlet: error: " + String(describing: error).singleLine + "\n")
            }
        case .setVerbose(let isOn): isVerbose = isOn
        case .show(let subject): try show(subject)
        case .invalid(let hint): try say(hint)
        }
    }

    private func show(_ subject: ChatCommand.Subject) throws {
        let configuration = model.configuration
        switch subject {
        case .info:
            let name = configuration.name.map { AnswerStream.printable($0) + "\n" } ?? ""
            try say(
                name + "\(modelPath)\n\(configuration.architecture), \(configuration.layerCount) layers of width "
                    + "\(configuration.hiddenSize), \(configuration.maxPositionEmbeddings) tokens of context")
        case .parameters: try say(ChatParameter.text(parameters))
        case .system: try say(conversation.system.map(AnswerStream.printable) ?? "No system prompt is set.")
        case .template: try say(configuration.chatTemplate.map(AnswerStream.printable) ?? "No chat template.")
        }
    }

    private func say(_ text: String) throws {
        try StandardStream.output.write(text + (text.hasSuffix("\n") ? "\n" : "\n\n"))
    }
}
