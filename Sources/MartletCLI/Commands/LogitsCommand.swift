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
    @Option(
        help: """
            A JPEG, PNG or WebP file; may be given again. Each takes the place of one image token, or of as many as it has \
            rows; `logits` has a row for each.
            """, completion: .file())
    var image: [String] = []
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
        var tokens = try TokenList.parse(tokenIds ?? InputFile.readText(tokenFile ?? "-"))
        guard !tokens.isEmpty else { throw CommandFailure("the list of tokens is empty") }
        let configuration = try Checkpoint(path: path).configuration
        let vocabulary = configuration.vocabularySize
        try TokenList.check(tokens, vocabularySize: vocabulary)

        // How many tokens images take is known when they are encoded.
        let most = tokens.count + image.count * ModelOutline.mostPatches
        let context = image.isEmpty ? tokens.count : max(tokens.count, min(most, configuration.maxPositionEmbeddings))
        let step = min(chunk, context)
        var options = try ModelLoading.options(compute.loadOptions, tokens: context, chunk: step, for: configuration)
        options.maxSampledRows = step
        let model = try ModelLoading.load(path, options)
        let evaluator = SequenceEvaluator(model.compiled)
        if !image.isEmpty {
            let prompt = try imagePrompt(tokens, model)
            guard prompt.tokens.count <= context else {
                throw CommandFailure("text and images take \(prompt.tokens.count) tokens, the model has \(context)")
            }
            (tokens, evaluator.features) = (prompt.tokens, prompt.features)
        }
        let writer = try SafetensorsWriter(path: output, tensor: "logits", rows: tokens.count, columns: vocabulary)
        let bar = ProgressBar("logits")
        defer { bar.finish() }
        try evaluator.forEachLogits(of: tokens, chunk: step) { first, count, logits in
            try writer.append(logits)
            bar.update(Double(first + count) / Double(tokens.count))
        }
        try writer.finish()
        if json { try JSONOutput.print(Summary(file: output, tensor: "logits", shape: [tokens.count, vocabulary])) }
    }

    /// The tokens with the images in their places.
    private func imagePrompt(_ tokens: [TokenID], _ model: LoadedModel) throws -> ImagePrompt {
        guard let vision = try model.makeVision() else { throw CommandFailure("the model does not see images") }
        let sources = try image.enumerated().map { index, path in
            ImagePrompt.Source(
                features: try vision.encode(ImageFile.read(path)), number: Int32(truncatingIfNeeded: index))
        }
        return try ImagePrompt(tokens, sources, for: vision)
    }

    private struct Summary: Encodable {
        let file: String
        let tensor: String
        let shape: [Int]
    }
}
