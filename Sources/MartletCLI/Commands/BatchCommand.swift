import ArgumentParser
import Foundation
import Martlet
import MartletServer

struct BatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "batch",
        abstract: "Answer a file of requests in OpenAI's batch format.",
        discussion: """
            Every line of FILE is {"custom_id": "…", "method": "POST", "url": "/v1/chat/completions" or "/v1/completions", \
            "body": {…}}. A line of output follows for each, as soon as it is done; a request that is wrong gets an error, \
            and the others go on. Run again after an interruption, the command does what is missing.
            """)

    @Argument(help: "A file with a request in every line.", completion: .file(extensions: ["jsonl"]))
    var file: String
    @Option(name: .shortAndLong, help: ModelHelp.optional)
    var model: String?
    @Option(
        name: .shortAndLong, help: "The file to write. Default: FILE with \".output\" before its extension.",
        completion: .file(extensions: ["jsonl"]))
    var output: String?
    @OptionGroup var names: ServedModelNameOption
    @OptionGroup var limits: EngineLimitOptions
    @OptionGroup var compute: ComputeOptions
    @Flag(help: "Print a summary as JSON.")
    var json = false

    func run() async throws {
        let outputPath = output ?? Self.outputPath(for: file)
        let input = try LineFile(path: file, limit: BatchRun.longestLine)
        let path = try ModelLookup().resolve(model)
        let output = try BatchOutput(path: outputPath)
        let llm = try await ModelLoading.engine(path, limits.applied(to: compute.loadOptions), limits.engineOptions())
        let bar = ProgressBar("batch")
        defer { bar.finish() }
        var run = BatchRun(
            ServedModel(llm, names: names.names(of: path), created: Int(Date().timeIntervalSince1970)), input: input,
            output: output
        ) { bar.update($0, note: "\($1.answered) answered, \($1.failed) failed") }
        try await run.run()
        bar.finish()
        await llm.drain()
        if json { return try JSONOutput.print(run.summary) }
        Terminal.warn(Self.text(run.summary, outputPath))
    }

    /// `requests.jsonl` becomes `requests.output.jsonl`.
    static func outputPath(for file: String) -> String {
        let url = URL(filePath: file)
        let ending = url.pathExtension.isEmpty ? "" : "." + url.pathExtension
        return String(file.dropLast(ending.count)) + ".output" + ending
    }

    private static func text(_ summary: BatchRun.Summary, _ path: String) -> String {
        let earlier = summary.skipped == 0 ? "" : ", \(summary.skipped) done before"
        let speed = Double(summary.generatedTokens) / max(summary.seconds, 1e-9)
        return "\(path): \(summary.answered) answered, \(summary.failed) failed\(earlier)"
            + String(format: "; %d tokens in %.1f s, %.1f tok/s", summary.generatedTokens, summary.seconds, speed)
    }
}
