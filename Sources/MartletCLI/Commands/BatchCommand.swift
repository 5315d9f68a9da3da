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
            and the others go on. Run again, the command does what is missing: requests without an answer, those that got an \
            error, and those that are others now or go to another model or another --compute, --quantization, \
            --kv-cache-type or --context. Answers that are none of these requests' are moved to a file with ".old" behind \
            the output's name.

            The exit status is 0 if every request has its answer, and 2 if some got an error.
            """)

    @Argument(
        help: "A file with a request in every line; - for standard input.", completion: .file(extensions: ["jsonl"]))
    var file: String
    @Option(name: .shortAndLong, help: ModelHelp.optional)
    var model: String?
    @Option(
        name: .shortAndLong,
        help: "The file to write. Default: FILE with \".output\" before its extension, if it is a file.",
        completion: .file(extensions: ["jsonl"]))
    var output: String?
    @OptionGroup var names: ServedModelNameOption
    @OptionGroup var limits: EngineLimitOptions
    @OptionGroup var compute: ComputeOptions
    @Flag(help: "Print a summary as JSON.")
    var json = false

    func validate() throws {
        if file == "-" && output == nil { throw ValidationError("standard input needs an --output") }
    }

    func run() async throws {
        let input = try LineFile(path: file, limit: BatchRun.longestLine)
        guard output != nil || InputFile.isRegular(file) else {
            throw CommandFailure("\(file) is no regular file: name the --output")
        }
        let outputPath = output ?? Self.outputPath(for: file)
        let path = try ModelLookup().resolve(model)
        let options = limits.applied(to: compute.loadOptions)
        let ids = BatchRequestIDs(model: path, options: options)
        let output = try BatchOutput(path: outputPath) { try ids.ids(of: input) }
        if output.movedCount > 0 {
            Terminal.warn(
                "\(output.movedCount) answers of \(outputPath) are to other requests or of another model: moved to "
                    + output.movedPath)
        }
        let llm = try await ModelLoading.engine(path, options, limits.engineOptions())
        let bar = ProgressBar("batch")
        defer { bar.finish() }
        var run = BatchRun(
            ServedModel(llm, names: names.names(of: path), created: Int(Date().timeIntervalSince1970)), input: input,
            ids: ids, output: output
        ) { bar.update($0, note: "\($1.answered) answered, \($1.failed) failed") }
        try await run.run()
        bar.finish()
        await llm.drain()
        if json {
            try JSONOutput.print(run.summary)
        } else {
            Terminal.warn(Self.text(run.summary, outputPath))
        }
        if run.summary.failed > 0 { throw Self.someFailed }
    }

    /// Beside 0 for success and 1 for a run that could not be.
    private static let someFailed = ExitCode(2)

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
