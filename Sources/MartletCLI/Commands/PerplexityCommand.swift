import ArgumentParser
import Foundation
import Martlet
import MartletCheckpoints
import MartletTokenizers

struct PerplexityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "perplexity",
        abstract: "Measure how well a model predicts a text.",
        discussion: """
            The text is cut into windows of --context tokens, without a beginning-of-sequence token; what does not fill a \
            window is left out. Every token but a window's first is predicted from those before it in the window. \
            Perplexity is exp(mean negative log-likelihood); its error is one standard error of that mean.
            """)

    @OptionGroup var source: RequiredModelArgument
    @Argument(help: "A text file, or - for standard input.", completion: .file())
    var file: String
    @Option(help: "Tokens of a window.")
    var context = 512
    @Option(
        help: ArgumentHelp(
            "Tokens from the start of a window to that of the next. Default: --context.",
            discussion: "Where windows overlap, a token counts in the first window that has it."))
    var stride: Int?
    @Option(help: "Windows to compute at most.")
    var limit: Int?
    @Flag(help: "Count only the second half of each window, as llama-perplexity does.")
    var secondHalf = false
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var output: JSONOption

    func validate() throws {
        guard (2...1 << 24).contains(context) else { throw ValidationError("--context must be at least 2") }
        if let stride {
            guard (1...context).contains(stride) else { throw ValidationError("--stride must be 1 to \(context)") }
            guard !secondHalf else { throw ValidationError("--second-half and --stride exclude each other") }
        }
        if let limit, limit < 1 { throw ValidationError("--limit must be at least 1") }
    }

    /// Tokens whose logits are kept at a time: 128 rows of a 150,000-token vocabulary are 77 MB.
    private static let chunk = 128

    func run() throws {
        let path = try source.path()
        let checkpoint = try Checkpoint(path: path)
        let tokens = try Tokenizer(checkpoint).encode(bytes: InputFile.read(file))
        // A tokenizer may have more tokens than the model has logits.
        try TokenList.check(tokens, vocabularySize: checkpoint.configuration.vocabularySize)
        let windows = PerplexityWindows(
            tokenCount: tokens.count, context: context, stride: stride ?? context, secondHalfOnly: secondHalf)
        guard windows.count > 0 else {
            throw CommandFailure("\(file) has \(tokens.count) tokens, less than one window of \(context)")
        }
        let step = min(Self.chunk, context)
        var options = try ModelLoading.options(
            compute.loadOptions, tokens: context, chunk: step, for: checkpoint.configuration)
        options.maxSampledRows = step
        let model = try ModelLoading.load(path, options)
        let count = min(windows.count, limit ?? .max)
        let statistics = measure(tokens, windows, count: count, model)
        try report(statistics, model)
    }

    private func measure(
        _ tokens: [TokenID], _ windows: PerplexityWindows, count: Int, _ model: LoadedModel
    ) -> PerplexityStatistics {
        let evaluator = SequenceEvaluator(model.compiled)
        let vocabulary = model.configuration.vocabularySize
        var statistics = PerplexityStatistics()
        let bar = ProgressBar("perplexity")
        defer { bar.finish() }
        for index in 0..<count {
            let window = windows[index]
            evaluator.truncate(0, to: 0)
            statistics.beginWindow()
            evaluator.forEachLogits(of: Array(tokens[window.tokens]), chunk: Self.chunk) { first, count, logits in
                // Row r holds the prediction of the token after position `first + r`.
                for row in 0..<count {
                    let target = window.tokens.lowerBound + first + row + 1
                    guard window.targets.contains(target) else { continue }
                    let row = UnsafeBufferPointer(rebasing: logits[row * vocabulary..<(row + 1) * vocabulary])
                    statistics.add(negativeLogLikelihood(of: Int(tokens[target]), logits: row))
                }
            }
            let note = "\(index + 1)/\(count)  \(String(format: "%.4f", statistics.perplexity))"
            bar.update(Double(index + 1) / Double(count), note: note)
        }
        return statistics
    }

    private func report(_ statistics: PerplexityStatistics, _ model: LoadedModel) throws {
        if output.json {
            return try JSONOutput.print(
                Report(
                    perplexity: statistics.perplexity, standardError: statistics.perplexityError,
                    meanNegativeLogLikelihood: statistics.mean, windowMeans: statistics.windowMeans,
                    windows: statistics.windowMeans.count, targets: statistics.count, context: context,
                    stride: stride ?? context, secondHalf: secondHalf, compute: model.compute.rawValue))
        }
        let error = statistics.perplexityError.map { String(format: " ± %.4f", $0) } ?? ""
        try StandardStream.output.write(
            String(format: "perplexity %.4f", statistics.perplexity) + error
                + String(format: "\nmean NLL   %.6f\n", statistics.mean)
                + "windows    \(statistics.windowMeans.count) of \(context) tokens"
                + (secondHalf ? ", second half of each\n" : "\n")
                + "targets    \(statistics.count)\n")
    }

    private struct Report: Encodable {
        let perplexity: Double
        let standardError: Double?
        let meanNegativeLogLikelihood: Double
        let windowMeans: [Double]
        let windows: Int
        let targets: Int
        let context: Int
        let stride: Int
        let secondHalf: Bool
        let compute: String
    }
}
