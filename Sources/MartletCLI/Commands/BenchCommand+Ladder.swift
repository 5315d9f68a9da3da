import ArgumentParser
import Martlet
import MartletCheckpoints
import MartletGraph

// The optimization ladder: `martlet bench MODEL --ladder` (docs/LADDER.md).
extension BenchCommand {
    func validateLadder() throws {
        for (name, count) in [
            ("--prompt", prompt.values.count), ("--generate", generate?.values.count ?? 1),
            ("--depth", depth?.values.count ?? 1), ("--threads", threads?.values.count ?? 1),
        ] where count != 1 {
            throw ValidationError("--ladder takes one value for \(name)")
        }
        guard batch.values == [1] else { throw ValidationError("--ladder measures one sequence: --batch must be 1") }
        guard prompt.values[0] > 0, generate?.values[0] != 0, depth?.values[0] != 0 else {
            throw ValidationError("--ladder measures both: --prompt, --generate and --depth must be at least 1")
        }
    }

    func runLadder() throws {
        let (prompt, generate) = (prompt.values[0], generate?.values[0] ?? 64)
        let depth = depth?.values[0] ?? prompt
        let path = try source.path()
        let checkpoint = try Checkpoint(path: path)
        var options = try ModelLoading.options(
            LoadOptions(), tokens: max(prompt, depth + generate), chunk: chunk, for: checkpoint.configuration)
        options.compute = arithmetic.compute
        options.quantization = weights.quantization
        options.threads = threads?.values[0]
        options.pinsThreads = pinning.pinThreads
        let outline = try ModelOutline(checkpoint, options: options)
        let runner = LadderRunner(
            try compile(outline), vocabulary: outline.configuration.vocabularySize, prompt: prompt, depth: depth,
            generate: generate, chunk: options.maxBatchedTokens, repetitions: repetitions)
        let bar = ProgressBar("bench")
        defer { bar.finish() }
        let rows = try runner.run(tolerance: outline.compute.ladderTolerance) { bar.update($0, note: $1) }
        bar.finish()
        switch output.json ? .json : format {
        case .md:
            let summary = try ModelSummary(checkpoint)
            let table = LadderResult.table(rows, names: ("pp\(prompt)", "tg\(generate) @ d\(depth)"))
            try StandardStream.output.write(
                "\(summary.label), CPU \(outline.instructionSet), \(outline.compute.rawValue), "
                    + "\(outline.threads) threads, medians of \(repetitions)\n\n\(table.markdown)")
        case .csv: try StandardStream.output.write(LadderResult.csvTable(rows).csv)
        case .json: try JSONOutput.print(rows)
        }
    }

    private func compile(_ outline: ModelOutline) throws -> [(step: LadderStep, model: any CompiledModel)] {
        let bar = ProgressBar("loading")
        defer { bar.finish() }
        return Array(zip(LadderStep.allCases, try outline.compile(LadderStep.allCases) { bar.update($0) }))
    }
}

extension LoadOptions.Compute {
    /// How far logits of equal models may be apart, in deviations of a row, where attention adds in another order.
    ///
    /// The difference itself is of float32's size; but where a value lies on the edge between two codes of the next
    /// layer's input it changes by a whole code, and so all layers' rounding errors end up different.
    fileprivate var ladderTolerance: Double {
        switch self {
        case .f32: 1e-3
        case .int16: 0.05
        case .int8, .auto: 1
        }
    }
}
