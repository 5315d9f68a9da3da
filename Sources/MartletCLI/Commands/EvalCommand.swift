import ArgumentParser
import Foundation
import Martlet
import MartletCheckpoints
import MartletGraph
import MartletTokenizers

struct EvalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "eval",
        abstract: "Compare what models say with a reference: perplexity, KL divergence, memory and speed.",
        discussion: """
            A text is cut into windows of --context tokens, as for `martlet perplexity`. All models read every window; each is \
            compared with --reference, which is computed in float32, token by token. The models must share its vocabulary.
            """)

    @Argument(help: ModelHelp.required) var models: [String]
    @Option(help: "The model to compare with, as a rule the one that the others were made of.") var reference: String?
    @Option(help: "A text file, or - for standard input.", completion: .file())
    var text: String
    @Option(help: "Tokens of a window.")
    var context = 512
    @Option(help: "Windows to compute at most.")
    var windows: Int?
    @Option(help: "A Markdown page to write; a plot is written beside it.", completion: .file(extensions: ["md"]))
    var markdown: String?
    @Flag(inversion: .prefixedNo, help: "Measure tokens per second.")
    var speed = true
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var output: JSONOption

    func validate() throws {
        guard !models.isEmpty else { throw ValidationError("name a model to evaluate") }
        guard (2...1 << 24).contains(context) else { throw ValidationError("--context must be at least 2") }
        if let windows, windows < 1 { throw ValidationError("--windows must be at least 1") }
    }

    /// Tokens whose logits are kept at a time, of every model: 128 rows of a 150,000-token vocabulary are 77 MB.
    private static let chunk = 128
    private static let decodedTokens = 64
    private static let repetitions = 5

    /// A model at work, and what it has said so far.
    private struct Candidate {
        let name: String
        let model: LoadedModel
        let evaluator: SequenceEvaluator
        let fileBytes: Int
        let isReference: Bool
        var statistics = PerplexityStatistics()
        var divergences: [Double] = []
        var agreements = 0
    }

    func run() throws {
        var candidates = try ([reference].compactMap { $0 } + models).enumerated().map { index, name in
            try load(name, isReference: index == 0 && reference != nil)
        }
        let first = candidates[0].model
        let vocabulary = first.vocabularySize
        for candidate in candidates where candidate.model.vocabularySize != vocabulary {
            throw CommandFailure(
                "\(candidate.name) has a vocabulary of \(candidate.model.vocabularySize), \(candidates[0].name) of "
                    + "\(vocabulary): they cannot be compared")
        }
        guard let tokenizer = first.tokenizer else {
            throw CommandFailure("\(candidates[0].name) has no tokenizer.json")
        }
        let tokens = tokenizer.encode(bytes: try InputFile.read(text))
        try TokenList.check(tokens, vocabularySize: vocabulary)
        let list = PerplexityWindows(tokenCount: tokens.count, context: context, stride: context, secondHalfOnly: false)
        guard list.count > 0 else {
            throw CommandFailure("\(text) has \(tokens.count) tokens, less than one window of \(context)")
        }
        let count = min(list.count, windows ?? .max)
        let bar = ProgressBar("evaluating")
        defer { bar.finish() }
        for index in 0..<count {
            read(tokens, list[index], vocabulary, &candidates)
            bar.update(Double(index + 1) / Double(count), note: "\(index + 1)/\(count)")
        }
        bar.finish()
        let report = EvaluationReport(
            text: text, context: context, windows: count, targets: candidates[0].statistics.count,
            threads: first.threads, instructionSet: first.instructionSet,
            results: try candidates.map { try result($0, reference: candidates[0]) })
        try write(report)
    }

    private func load(_ name: String, isReference: Bool) throws -> Candidate {
        let path = try ModelLookup().resolve(name)
        let checkpoint = try Checkpoint(path: path)
        let step = min(Self.chunk, context)
        var base = compute.loadOptions
        if isReference {
            base.compute = .f32
            base.kvType = .f32
        }
        var options = try ModelLoading.options(
            base, tokens: context, chunk: max(step, 512), for: checkpoint.configuration)
        options.maxSampledRows = step
        let model = try ModelLoading.load(path, options)
        return Candidate(
            name: name, model: model, evaluator: SequenceEvaluator(model.compiled),
            fileBytes: try ModelSummary(checkpoint).bytes, isReference: isReference)
    }

    /// Lets every model read a window, chunk by chunk, and compares what they expect.
    private func read(
        _ tokens: [TokenID], _ window: PerplexityWindows.Window, _ vocabulary: Int, _ candidates: inout [Candidate]
    ) {
        for index in candidates.indices {
            candidates[index].evaluator.truncate(0, to: 0)
            candidates[index].statistics.beginWindow()
        }
        for first in stride(from: window.tokens.lowerBound, to: window.tokens.upperBound, by: Self.chunk) {
            let part = tokens[first..<min(first + Self.chunk, window.tokens.upperBound)]
            // Row r predicts the token behind `first + r`.
            let targets = part.indices.map { window.targets.contains($0 + 1) ? Int(tokens[$0 + 1]) : nil }
            // Each valid until its model's next step.
            let logits = candidates.map { $0.evaluator.step([(0, part)], logits: part.count) }
            let compared = TokenComparison.compare(
                logits, reference: logits[0], vocabulary: vocabulary, targets: targets)
            for (index, rows) in compared.enumerated() {
                for row in rows {
                    candidates[index].statistics.add(row.negativeLogLikelihood)
                    candidates[index].divergences.append(row.divergence)
                    if row.agrees { candidates[index].agreements += 1 }
                }
            }
        }
    }

    private func result(_ candidate: Candidate, reference: Candidate) throws -> EvaluationResult {
        let model = candidate.model
        let isCompared = reference.isReference && !candidate.isReference
        var rates: (prompt: Double, decode: Double)?
        if speed, !candidate.isReference {
            let runner = BenchRunner(model, chunk: 512)
            func rate(_ kind: BenchTest.Kind, _ tokens: Int) throws -> Double {
                let test = BenchTest(kind: kind, tokens: tokens, depth: 0, batch: 1)
                let samples = try runner.samples(of: test, repetitions: Self.repetitions, warmUp: true) {}
                return samples.sorted()[samples.count / 2]
            }
            rates = (try rate(.prompt, context), try rate(.generate, min(Self.decodedTokens, context)))
        }
        return EvaluationResult(
            model: URL(filePath: candidate.name).lastPathComponent, isReference: candidate.isReference,
            compute: model.compute.rawValue, kvCacheType: model.kvType.rawValue, fileBytes: candidate.fileBytes,
            weightBytes: model.compiled.memory.weights, kvBytes: model.compiled.plan.kvBytesPerToken * context,
            perplexity: candidate.statistics.perplexity, standardError: candidate.statistics.perplexityError,
            perplexityIncrease: isCompared
                ? candidate.statistics.perplexity / reference.statistics.perplexity - 1 : nil,
            divergence: isCompared ? Percentiles(candidate.divergences) : nil,
            agreement: isCompared ? Double(candidate.agreements) / Double(candidate.statistics.count) : nil,
            promptRate: rates?.prompt, decodeRate: rates?.decode,
            curve: isCompared ? EvaluationResult.curve(candidate.divergences) : [])
    }

    private func write(_ report: EvaluationReport) throws {
        if let markdown {
            let page = URL(filePath: markdown)
            let plot = page.deletingPathExtension().appendingPathExtension("svg")
            if let svg = report.plot { try svg.write(to: plot, atomically: true, encoding: .utf8) }
            try report.markdown(plot: report.plot == nil ? nil : plot.lastPathComponent)
                .write(to: page, atomically: true, encoding: .utf8)
        }
        if output.json { try JSONOutput.print(report) } else { try StandardStream.output.write(report.table.markdown) }
    }
}
