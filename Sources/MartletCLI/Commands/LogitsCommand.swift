import ArgumentParser
import Martlet
import MartletCheckpoints
import MartletTokenizers

struct LogitsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logits",
        abstract: "Write the logits of every token to a safetensors file.",
        discussion: "The file holds one float32 tensor `logits` [tokens, vocabulary].")

    @OptionGroup var source: RequiredModelArgument
    @Option(help: "Token ids: a JSON array, or numbers with commas between them.")
    var tokenIds: String?
    @Option(help: "A file with token ids, or - for standard input.", completion: .file())
    var tokenFile: String?
    @Option(name: .shortAndLong, help: "The file to write.", completion: .file(extensions: ["safetensors"]))
    var output: String
    @Option(help: "Tokens that are computed in one step. The logits do not depend on it.")
    var chunk = 128
    @OptionGroup var compute: ComputeOptions
    @Flag(help: "Print what was written as JSON.")
    var json = false

    func validate() throws {
        guard (tokenIds == nil) != (tokenFile == nil) else {
            throw ValidationError("give either --token-ids or --token-file")
        }
        guard (1...65_536).contains(chunk) else { throw ValidationError("--chunk must be between 1 and 65536") }
    }

    func run() throws {
        let path = try source.path()
        let tokens = try TokenList.parse(tokenIds ?? InputFile.readText(tokenFile ?? "-"))
        guard !tokens.isEmpty else { throw CommandFailure("the list of tokens is empty") }
        let configuration = try Checkpoint(path: path).configuration
        let vocabulary = configuration.vocabularySize
        try TokenList.check(tokens, vocabularySize: vocabulary)

        let step = min(chunk, tokens.count)
        var options = try ModelLoading.options(
            compute.loadOptions, tokens: tokens.count, chunk: step, for: configuration)
        options.maxSampledRows = step
        let model = try ModelLoading.load(path, options)
        let writer = try SafetensorsWriter(path: output, tensor: "logits", rows: tokens.count, columns: vocabulary)
        let bar = ProgressBar("logits")
        defer { bar.finish() }
        try SequenceEvaluator(model.compiled).forEachLogits(of: tokens, chunk: step) { first, count, logits in
            try writer.append(logits)
            bar.update(Double(first + count) / Double(tokens.count))
        }
        try writer.finish()
        if json { try JSONOutput.print(Summary(file: output, tensor: "logits", shape: [tokens.count, vocabulary])) }
    }

    private struct Summary: Encodable {
        let file: String
        let tensor: String
        let shape: [Int]
    }
}
