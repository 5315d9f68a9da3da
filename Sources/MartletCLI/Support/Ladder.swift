import Foundation
import Martlet
import MartletGraph
import MartletTokenizers

/// Measures the steps of the optimization ladder on one prompt, and checks that all of them compute the same.
struct LadderRunner {
    /// Tokens of the prompt, of the context that decoding starts from, decoded, and in one step at most.
    let prompt: Int
    let depth: Int
    let generate: Int
    let chunk: Int
    let repetitions: Int
    private let programs: [(step: LadderStep, model: any CompiledModel, evaluator: SequenceEvaluator)]
    /// Random, with a fixed seed: the prompt is its beginning.
    private let context: [TokenID]
    private let clock = ContinuousClock()

    init(
        _ models: [(step: LadderStep, model: any CompiledModel)], vocabulary: Int, prompt: Int, depth: Int,
        generate: Int, chunk: Int, repetitions: Int
    ) {
        (self.prompt, self.depth, self.generate, self.chunk) = (prompt, depth, generate, chunk)
        self.repetitions = repetitions
        programs = models.map { ($0.step, $0.model, SequenceEvaluator($0.model)) }
        var random = SplitMix64(seed: 42)
        context = (0..<max(prompt, depth)).map { _ in
            TokenID(truncatingIfNeeded: Int.random(in: 0..<vocabulary, using: &random))
        }
    }

    /// - Parameter tolerance: how far logits may be from the last step's, in deviations of a row.
    /// - Throws: `CommandFailure` if a step computes something else than the last one.
    func run(tolerance: Double, progress: (_ fraction: Double, _ note: String) -> Void) throws -> [LadderResult] {
        let work = Double(programs.count * (2 * repetitions + 2))
        var done = 0.0
        func advance(_ note: String) {
            progress(done / work, note)
            done += 1
        }
        // Steps take turns, so that a machine that slows down slows all of them.
        var prefill = programs.map { _ in [Double]() }
        for _ in 0..<repetitions + 1 {
            for (index, program) in programs.enumerated() {
                advance("prefill: \(program.step.title)")
                program.evaluator.truncate(0, to: 0)
                prefill[index].append(seconds { compute(context[..<prompt], program.evaluator) })
            }
        }
        let agreements = try agreements(tolerance: tolerance) { advance("checking: \($0.title)") }
        var decode = programs.map { _ in [Double]() }
        var planning = programs.map { _ in [Double]() }
        for _ in 0..<repetitions {
            for (index, program) in programs.enumerated() {
                advance("decode: \(program.step.title)")
                program.evaluator.truncate(0, to: depth)
                let before = program.model.planningTime
                decode[index].append(seconds { for token in agreements.tokens { step(token, program.evaluator) } })
                planning[index].append((program.model.planningTime - before).seconds)
            }
        }
        return LadderResult.rows(
            programs.indices.map { index in
                LadderResult.Measurement(
                    step: programs[index].step,
                    prefill: prefill[index].dropFirst().map { Double(prompt) / $0 },
                    decode: decode[index].map { Double(generate) / $0 },
                    planning: planning[index].map { $0 / Double(generate) }, agreement: agreements.steps[index])
            })
    }

    /// Lets the last step choose tokens greedily, and compares the logits of every step on them.
    private func agreements(
        tolerance: Double, progress: (LadderStep) -> Void
    ) throws -> (tokens: [TokenID], steps: [Agreement]) {
        var tokens: [TokenID] = []
        var reference: [[Float]] = []
        var agreements = programs.map { _ in Agreement() }
        for (index, program) in programs.enumerated().reversed() {
            progress(program.step)
            program.evaluator.truncate(0, to: min(program.evaluator.length(of: 0), depth))
            compute(context[program.evaluator.length(of: 0)..<depth], program.evaluator)
            for position in 0..<generate {
                let isReference = index == programs.count - 1
                if isReference, position == 0 { tokens.append(context[0]) }
                let logits = step(tokens[position], program.evaluator)
                if isReference {
                    reference.append(Array(logits.prefix(position < Self.comparedRows ? logits.count : 0)))
                    tokens.append(TokenID(truncatingIfNeeded: Agreement.largest(logits)))
                }
                if position < Self.comparedRows { agreements[index].add(logits, reference: reference[position]) }
            }
            let limit = program.step.isBitExact ? 0 : tolerance
            try agreements[index].check(limit, step: "step \(program.step.rawValue) (\(program.step.title))")
        }
        return (Array(tokens.prefix(generate)), agreements)
    }

    /// Rows of logits that are kept for comparing.
    private static let comparedRows = 64

    private func seconds(_ body: () -> Void) -> Double { max(clock.measure(body).seconds, 1e-9) }

    private func compute(_ tokens: ArraySlice<TokenID>, _ evaluator: SequenceEvaluator) {
        for first in stride(from: tokens.startIndex, to: tokens.endIndex, by: chunk) {
            let end = min(first + chunk, tokens.endIndex)
            evaluator.step([(0, tokens[first..<end])], logits: end == tokens.endIndex ? 1 : 0)
        }
    }

    @discardableResult
    private func step(_ token: TokenID, _ evaluator: SequenceEvaluator) -> UnsafeBufferPointer<Float> {
        evaluator.step([(0, [token])], logits: 1)
    }
}

/// How close some rows of logits are to a reference's.
struct Agreement: Encodable, Equatable {
    /// The largest difference of two logits, in standard deviations of the reference's row.
    var difference = 0.0
    var rows = 0
    /// Rows whose greedy choice is the same.
    var sameChoices = 0

    mutating func add(_ logits: UnsafeBufferPointer<Float>, reference: [Float]) {
        let count = Double(reference.count)
        let mean = reference.reduce(0) { $0 + Double($1) } / count
        let variance = reference.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / count
        // A NaN must not lose against the largest difference so far.
        let worst = zip(logits, reference).reduce(0.0) { worst, pair in
            let difference = abs(Double(pair.0) - Double(pair.1))
            return difference <= worst ? worst : difference.isNaN ? .infinity : difference
        }
        // A NaN in the reference is an error of its own.
        let relative = worst == 0 ? 0 : worst / variance.squareRoot()
        difference = max(difference, relative.isNaN ? .infinity : relative)
        rows += 1
        if Self.largest(logits) == reference.withUnsafeBufferPointer(Self.largest) { sameChoices += 1 }
    }

    /// - Throws: `CommandFailure` if a logit is farther off than `limit` deviations.
    func check(_ limit: Double, step: String) throws {
        guard difference <= limit else {
            throw CommandFailure(
                "\(step) computes something else than the last step: its logits differ by \(difference) deviations, more "
                    + "than \(limit)")
        }
    }

    /// The index of the largest value; the first of equal ones.
    static func largest(_ values: UnsafeBufferPointer<Float>) -> Int {
        values.indices.reduce(0) { values[$1] > values[$0] ? $1 : $0 }
    }
}

/// A row of the ladder's table.
struct LadderResult: Encodable {
    struct Measurement {
        let step: LadderStep
        let prefill: [Double]
        let decode: [Double]
        /// Seconds per decoded token.
        let planning: [Double]
        let agreement: Agreement
    }

    /// Tokens per second, with the factors over the row before and over the first.
    struct Speed: Encodable {
        let tokensPerSecond: Double
        let overBefore: Double
        let overFirst: Double
        let samples: [Double]

        init(_ samples: [Double], before: Double?, first: Double?) {
            self.samples = samples
            tokensPerSecond = LadderResult.median(samples)
            overBefore = tokensPerSecond / (before ?? tokensPerSecond)
            overFirst = tokensPerSecond / (first ?? tokensPerSecond)
        }
    }

    let step: Int
    let title: String
    let prefill: Speed
    let decode: Speed
    /// What every step of the engine spends on planning while it decodes.
    let planningMilliseconds: Double
    /// With the last row.
    let agreement: Agreement

    /// The table of the measured steps, in their order.
    static func rows(_ measurements: [Measurement]) -> [LadderResult] {
        var rows: [LadderResult] = []
        for measured in measurements {
            rows.append(
                LadderResult(
                    step: measured.step.rawValue, title: measured.step.title,
                    prefill: Speed(
                        measured.prefill, before: rows.last?.prefill.tokensPerSecond,
                        first: rows.first?.prefill.tokensPerSecond),
                    decode: Speed(
                        measured.decode, before: rows.last?.decode.tokensPerSecond,
                        first: rows.first?.decode.tokensPerSecond),
                    planningMilliseconds: median(measured.planning) * 1000, agreement: measured.agreement))
        }
        return rows
    }

    static func median(_ values: [Double]) -> Double {
        guard !values.isEmpty else { return 0 }
        let sorted = values.sorted()
        return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }

    /// - Parameter names: of the two tests, as "pp512" and "tg64 @ d512".
    static func table(_ rows: [LadderResult], names: (prefill: String, decode: String)) -> Table {
        var table = Table(
            .init("#", .right), .init("step"), .init(names.prefill + " t/s", .right), .init("× before", .right),
            .init("× first", .right), .init(names.decode + " t/s", .right), .init("× before", .right),
            .init("× first", .right), .init("planning ms/step", .right), .init("largest difference", .right),
            .init("same choice", .right))
        for row in rows {
            table.append(
                "\(row.step)", row.title, String(format: "%.1f", row.prefill.tokensPerSecond),
                String(format: "%.2f", row.prefill.overBefore), String(format: "%.2f", row.prefill.overFirst),
                String(format: "%.1f", row.decode.tokensPerSecond), String(format: "%.2f", row.decode.overBefore),
                String(format: "%.2f", row.decode.overFirst), String(format: "%.2f", row.planningMilliseconds),
                row.agreement.difference == 0 ? "0" : String(format: "%.1e", row.agreement.difference),
                "\(row.agreement.sameChoices)/\(row.agreement.rows)")
        }
        return table
    }

    /// The same with plain numbers, for spreadsheets.
    static func csvTable(_ rows: [LadderResult]) -> Table {
        var table = Table(
            .init("step"), .init("title"), .init("prefill_tokens_per_second"), .init("prefill_over_before"),
            .init("prefill_over_first"), .init("decode_tokens_per_second"), .init("decode_over_before"),
            .init("decode_over_first"), .init("planning_milliseconds"), .init("largest_difference"),
            .init("rows_compared"), .init("same_choices"))
        for row in rows {
            table.append(
                "\(row.step)", row.title, "\(row.prefill.tokensPerSecond)", "\(row.prefill.overBefore)",
                "\(row.prefill.overFirst)", "\(row.decode.tokensPerSecond)", "\(row.decode.overBefore)",
                "\(row.decode.overFirst)", "\(row.planningMilliseconds)", "\(row.agreement.difference)",
                "\(row.agreement.rows)", "\(row.agreement.sameChoices)")
        }
        return table
    }
}
