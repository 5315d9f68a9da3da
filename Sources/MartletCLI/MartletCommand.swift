import ArgumentParser
import Foundation

/// `martlet`: the command line of the engine.
@main
struct MartletCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "Run language models on this machine.",
        version: version,
        subcommands: [
            RunCommand.self, ServeCommand.self, BatchCommand.self, BenchCommand.self, BenchServeCommand.self,
            ShowCommand.self,
            TokenizeCommand.self,
            DetokenizeCommand.self,
            TemplateCommand.self, LogitsCommand.self, PerplexityCommand.self, EvalCommand.self,
            QuantizeCommand.self,
            PullCommand.self, ListCommand.self, RemoveCommand.self,
        ])

    static let version = "0.1.0"

    static func main() async {
        do {
            var command = try command(for: Array(CommandLine.arguments.dropFirst()))
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            report(error)
        }
    }

    /// The command that the arguments ask for.
    ///
    /// - Parameter environment: where the options of `serve` that are not among the arguments may be (`ServeSettings`).
    static func command(
        for arguments: [String], environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws -> any ParsableCommand {
        if arguments.starts(with: ["bench", "serve"]) {
            return try parseAsRoot(["bench serve"] + arguments.dropFirst(2))
        }
        if arguments == ["help", "bench", "serve"] { return try parseAsRoot(["help", "bench serve"]) }
        guard arguments.first == ServeCommand.configuration.commandName else { return try parseAsRoot(arguments) }
        let settings = try ServeSettings(arguments: Array(arguments.dropFirst()), environment: environment)
        for warning in settings.warnings { Terminal.warn("martlet: warning: " + warning.singleLine) }
        do {
            return try parseAsRoot([arguments[0]] + settings.arguments)
        } catch {
            guard let source = settings.source(of: message(for: error)), !exitCode(for: error).isSuccess else {
                throw error
            }
            throw ValidationError("\(message(for: error)) (\(source))")
        }
    }

    /// The one place where errors become text: a line on stderr and an exit status. Help and versions go to stdout.
    private static func report(_ error: any Error) -> Never {
        let status = exitCode(for: error)
        if status.isSuccess {
            try? StandardStream.output.write(fullMessage(for: error) + "\n")
        } else if !(error is ExitCode) {
            let isUsage = status == .validationFailure
            let text = isUsage ? message(for: error) : String(describing: error)
            let hint = isUsage ? " (see 'martlet --help')" : ""
            Terminal.warn("martlet: error: " + text.singleLine + hint)
        }
        Foundation.exit(status.rawValue)
    }
}

/// An error that only the command line can make: what is wrong, for the person who typed the command.
struct CommandFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
