import Dispatch
import Martlet
import MartletGrammar
import MartletGraph
import Synchronization
import TestSupport

/// A "model" whose logits are a hash of the context that it reads back from its KV rows.
///
/// It writes each token with its position through the step's rows, and reads every context position through the
/// request's table. A wrong row, table, position, chunk, or reuse of either changes the logits, or is counted as a fault.
final class FakeModel: @unchecked Sendable {
    static let vocabularySize = 64
    static let endToken: Int32 = 0
    /// A prompt that has this token gives NaN. It is never drawn.
    static let poison: Int32 = 63

    struct Failure: Error {}

    /// What happened, for tests to look at while the engine runs.
    struct Record: Sendable {
        var faults: [String] = []
        /// Requests and tokens of each step.
        var steps: [(requests: Int, tokens: Int)] = []
        /// Steps that throw.
        var failingSteps: Set<Int> = []
        /// Whether steps wait for `release()`, and whether one does.
        var isGated = false
        var isBlocked = false
    }

    let record = Mutex(Record())
    private let gate = DispatchSemaphore(value: 0)
    let limits: StepLimits
    let rowCount: Int
    private let vocabularySize: Int
    private var memory: [(position: Int, token: Int32)]
    private let logits: UnsafeMutablePointer<Float>

    init(
        rowCount: Int, tokens: Int = 512, requests: Int = 16, sampledRows: Int? = nil,
        vocabularySize: Int = FakeModel.vocabularySize
    ) {
        self.rowCount = rowCount
        self.vocabularySize = vocabularySize
        limits = StepLimits(tokens: tokens, sampled: sampledRows ?? requests, requests: requests)
        memory = Array(repeating: (-1, -1), count: rowCount)
        logits = .allocate(capacity: limits.sampled * vocabularySize)
    }

    deinit { logits.deallocate() }

    var runner: ModelRunner {
        ModelRunner(limits: limits, rowCount: rowCount, vocabularySize: vocabularySize, compute: run)
    }

    /// Makes the next step wait, and returns when it does.
    func block() async throws {
        record.withLock { $0.isGated = true }
        while !record.withLock({ $0.isBlocked }) { try await Task.sleep(for: .microseconds(100)) }
    }

    /// Lets the step that waits go on.
    func release() {
        record.withLock {
            $0.isGated = false
            $0.isBlocked = false
        }
        gate.signal()
    }

    var stepSizes: [Int] { record.withLock { $0.steps.map(\.requests) } }

    func fail(step: Int) {
        record.withLock { _ = $0.failingSteps.insert(step) }
    }

    var faults: [String] { record.withLock { $0.faults } }

    func run(_ input: StepInput) throws -> UnsafeBufferPointer<Float> {
        let (fails, waits) = record.withLock { record in
            record.steps.append((input.requestCount, input.tokenCount))
            record.isBlocked = record.isGated
            return (record.failingSteps.contains(record.steps.count - 1), record.isGated)
        }
        if waits { gate.wait() }
        if fails { throw Failure() }

        for copy in input.copies { memory[Int(copy.to)] = memory[Int(copy.from)] }
        var written: Set<Int32> = []
        for index in 0..<input.tokenCount {
            let row = input.rows[index]
            if row < 0 || row >= rowCount || !written.insert(row).inserted { fault("row \(row) is written twice") }
            memory[Int(row)] = (Int(input.positions[index]), input.tokens[index])
        }
        var sampled = 0
        for index in 0..<input.requestCount {
            let request = input.requests[index]
            for query in 0..<request.queryCount {
                guard sampled < input.sampledCount, Int(input.sampled[sampled]) == request.queryStart + query else {
                    continue
                }
                let context = (0...request.contextLength - request.queryCount + query).map { position in
                    let (storedPosition, token) = memory[Int(request.rows[position])]
                    if storedPosition != position { fault("position \(position) reads what \(storedPosition) wrote") }
                    return token
                }
                Self.fill(
                    UnsafeMutableBufferPointer(start: logits + sampled * vocabularySize, count: vocabularySize), context
                )
                sampled += 1
            }
        }
        if sampled != input.sampledCount {
            fault("\(input.sampledCount) rows are to be sampled, \(sampled) were found")
        }
        return UnsafeBufferPointer(start: logits, count: sampled * vocabularySize)
    }

    private func fault(_ message: String) {
        record.withLock { $0.faults.append(message) }
    }

    /// The logits that follow a context.
    static func fill(_ logits: UnsafeMutableBufferPointer<Float>, _ context: [Int32]) {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for token in context { hash = (hash ^ UInt64(token)) &* 0x100_0000_01B3 }
        var generator = TestGenerator(seed: hash)
        for token in logits.indices { logits[token] = Float(generator.uniform() * 8 - 4) }
        logits[Int(poison)] = context.contains(poison) ? .nan : -.infinity
    }

    /// What a request must give, computed one token at a time with nothing of the engine but the sampler.
    static func expected(
        _ prompt: [Int32], _ parameters: SamplingParameters, grammar: Grammar? = nil, contextLength: Int
    ) throws -> (tokens: [Int], reason: FinishReason) {
        let stopTokens = parameters.stopTokenIDs.map { Int32($0) } + (parameters.ignoreEOS ? [] : [endToken])
        var state = SamplingState(
            parameters, prompt: prompt, stopTokens: stopTokens, matcher: grammar.map { GrammarMatcher($0) },
            seed: parameters.seed ?? 0)
        let sampler = Sampler(vocabularySize: vocabularySize)
        var logits = Array(repeating: Float(0), count: vocabularySize)
        var context = prompt
        while true {
            logits.withUnsafeMutableBufferPointer { fill($0, context) }
            let token = try logits.withUnsafeBufferPointer {
                try sampler.sample($0, state, position: context.count).token
            }
            state.record(token)
            context.append(token)
            let generated = context.count - prompt.count
            let answer = context.dropFirst(prompt.count).map { Int($0) }
            if stopTokens.contains(token) && generated > parameters.minTokens { return (answer, .stop) }
            if generated == parameters.maxTokens || context.count == contextLength { return (answer, .length) }
        }
    }
}

/// Spells token 1 as "b", token 2 as "c", and so on; every seventh token as two letters, every eleventh as none.
struct FakeDecoder: TokenDecoder {
    static func spelling(_ token: Int) -> String {
        if token % 11 == 10 { return "" }
        let letter = String(UnicodeScalar(UInt8(97 + token % 26)))
        return token % 7 == 6 ? letter + letter : letter
    }

    mutating func append(_ token: Int32) -> String { Self.spelling(Int(token)) }
    mutating func finish() -> String { "" }
}

/// A whole answer.
struct Answer: Sendable, Equatable {
    var text = ""
    var tokens: [Int] = []
    var reason: FinishReason?

    init(text: String = "", tokens: [Int] = [], reason: FinishReason? = nil) {
        (self.text, self.tokens, self.reason) = (text, tokens, reason)
    }

    init(_ stream: AsyncThrowingStream<RequestOutput, any Error>) async throws {
        for try await output in stream {
            text += output.text
            tokens += output.tokenIDs
            reason = output.finishReason
        }
    }
}

extension EngineRequest {
    init(_ prompt: [Int32], _ parameters: SamplingParameters = .init()) {
        self.init(prompt: prompt, parameters: parameters, decoder: FakeDecoder())
    }
}
