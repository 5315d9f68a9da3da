import Foundation
import Martlet
import MartletCheckpoints
import MartletGraph
import MartletTokenizers

/// What one line of the benchmark measures.
struct BenchTest: Equatable {
    enum Kind { case prompt, generate }

    var kind: Kind
    /// Of one sequence.
    var tokens: Int
    /// Computed before, not measured.
    var depth: Int
    var batch: Int

    /// llama-bench's notation.
    var name: String {
        (kind == .prompt ? "pp\(tokens)" : "tg\(tokens)") + (batch > 1 ? " x\(batch)" : "")
            + (depth > 0 ? " @ d\(depth)" : "")
    }
}

/// Runs tests on one model. Tokens are random, with a fixed seed: their values do not change the work.
struct BenchRunner {
    private let evaluator: SequenceEvaluator
    private let chunk: Int
    private let tokens: [TokenID]

    init(_ model: LoadedModel, chunk: Int) {
        let limits = model.compiled.limits
        evaluator = SequenceEvaluator(model.compiled, sequences: limits.requests)
        self.chunk = min(chunk, limits.tokens)
        var random = SplitMix64(seed: 42)
        let vocabulary = model.configuration.vocabularySize
        tokens = (0..<evaluator.capacity).map { _ in
            TokenID(truncatingIfNeeded: Int.random(in: 0..<vocabulary, using: &random))
        }
    }

    /// Tokens per second of each repetition, after one to warm up.
    func samples(of test: BenchTest, repetitions: Int, progress: () -> Void) throws -> [Double] {
        guard test.depth + test.tokens <= evaluator.capacity else {
            throw CommandFailure("\(test.name) needs a longer context than \(evaluator.capacity) tokens")
        }
        for sequence in 0..<test.batch {
            // What an earlier test at this depth computed is there still: the tokens are the same.
            if evaluator.length(of: sequence) > test.depth { evaluator.truncate(sequence, to: test.depth) }
            prefill(sequence, to: test.depth)
        }
        return try (0...repetitions).map { _ in
            progress()
            for sequence in 0..<test.batch { evaluator.truncate(sequence, to: test.depth) }
            let time = ContinuousClock().measure {
                switch test.kind {
                case .prompt: prefill(0, to: test.depth + test.tokens)
                case .generate: generate(test)
                }
            }
            guard time > .zero else { throw CommandFailure("the clock stands still") }
            return Double(test.tokens * test.batch) / time.seconds
        }.dropFirst().map { $0 }
    }

    /// Computes a sequence's next tokens; the logits of the very last only, as for a prompt.
    private func prefill(_ sequence: Int, to end: Int) {
        while evaluator.length(of: sequence) < end {
            let start = evaluator.length(of: sequence)
            let stop = min(start + chunk, end)
            evaluator.step([(sequence, tokens[start..<stop])], logits: stop == end ? 1 : 0)
        }
    }

    private func generate(_ test: BenchTest) {
        for position in test.depth..<test.depth + test.tokens {
            evaluator.step((0..<test.batch).map { ($0, tokens[position...position]) }, logits: 1)
        }
    }
}

/// Steele, Lea and Flood 2014: small, and the same on every machine.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// A measured test, with what it was measured on.
struct BenchResult: Encodable {
    let model: String
    let bytes: Int
    let parameters: Int
    let backend: String
    let compute: String
    let kvCacheType: String
    let threads: Int
    let test: String
    let prompt: Int
    let generated: Int
    let depth: Int
    let batch: Int
    let tokensPerSecond: Double
    let deviation: Double
    let samples: [Double]

    init(
        model: String, bytes: Int, parameters: Int, backend: String, compute: String, kvCacheType: String, threads: Int,
        test: BenchTest, samples: [Double]
    ) {
        self.model = model
        self.bytes = bytes
        self.parameters = parameters
        self.backend = backend
        self.compute = compute
        self.kvCacheType = kvCacheType
        self.threads = threads
        self.test = test.name
        prompt = test.kind == .prompt ? test.tokens : 0
        generated = test.kind == .generate ? test.tokens : 0
        depth = test.depth
        batch = test.batch
        self.samples = samples
        (tokensPerSecond, deviation) = Self.meanAndDeviation(samples)
    }

    /// The deviation is the sample's (n - 1); 0 for a single value.
    static func meanAndDeviation(_ samples: [Double]) -> (mean: Double, deviation: Double) {
        guard !samples.isEmpty else { return (0, 0) }
        let mean = samples.reduce(0, +) / Double(samples.count)
        guard samples.count > 1 else { return (mean, 0) }
        let squares = samples.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return (mean, (squares / Double(samples.count - 1)).squareRoot())
    }

    static func table(_ results: [BenchResult]) -> Table {
        var table = Table(
            .init("model"), .init("size", .right), .init("params", .right), .init("backend"), .init("compute"),
            .init("kv"), .init("threads", .right), .init("test", .right), .init("t/s", .right))
        for result in results {
            table.append(
                result.model, Quantities.bytes(result.bytes), Quantities.count(result.parameters), result.backend,
                result.compute, result.kvCacheType, "\(result.threads)", result.test,
                String(format: "%.2f ± %.2f", result.tokensPerSecond, result.deviation))
        }
        return table
    }

    /// The same with plain numbers, for spreadsheets.
    static func csvTable(_ results: [BenchResult]) -> Table {
        var table = Table(
            .init("model"), .init("bytes"), .init("parameters"), .init("backend"), .init("compute"),
            .init("kv_cache_type"), .init("threads"),
            .init("test"), .init("prompt"), .init("generated"), .init("depth"), .init("batch"),
            .init("tokens_per_second"), .init("deviation"))
        for result in results {
            table.append(
                result.model, "\(result.bytes)", "\(result.parameters)", result.backend, result.compute,
                result.kvCacheType, "\(result.threads)", result.test, "\(result.prompt)", "\(result.generated)",
                "\(result.depth)",
                "\(result.batch)", "\(result.tokensPerSecond)", "\(result.deviation)")
        }
        return table
    }
}
