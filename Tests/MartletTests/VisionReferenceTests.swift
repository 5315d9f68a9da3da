import Foundation
import Martlet
import MartletCheckpoints
import MartletGraph
import MartletModels
import TestSupport
import Testing

/// A tiny model that sees, with images and what transformers makes of them (`ref.safetensors`).
struct VisionReference: Sendable, CustomTestStringConvertible {
    let folder: URL
    var testDescription: String { folder.lastPathComponent }

    static let all = ["llava15", "qwen2_5_vl", "qwen3_vl"].compactMap { SharedFixtures.url("models/\($0)") }
        .map(VisionReference.init)
    static let llava = all.first { $0.testDescription == "llava15" }

    struct Case {
        let name: String
        /// With a token for every row of an image.
        let ids: [Int32]
        /// Numbers of the images that are shown.
        let images: [Int]
        let logits: [Float]
        let greedy: [Int32]
        /// The smallest distance between the best and the second-best logit of the continuation.
        let margin: Float
    }

    func cases() throws -> [Case] {
        struct Facts: Decodable {
            struct Case: Decodable {
                let min_margin: Float
                let images: [Int]?
            }
            let cases: [Case]
        }
        let facts = try JSONDecoder().decode(
            Facts.self, from: Data(contentsOf: folder.appending(path: "ref.json")))
        let reference = try ReferenceTensors(folder.appending(path: "ref.safetensors"))
        return try facts.cases.enumerated().map { index, facts in
            let name = "case\(index)"
            return Case(
                name: name, ids: try reference.integers(name + ".input_ids").values.map(Int32.init),
                images: facts.images ?? [], logits: try reference.floats(name + ".logits").values,
                greedy: try reference.integers(name + ".greedy").values.map(Int32.init), margin: facts.min_margin)
        }
    }

    /// A case's prompt with its images.
    func prompt(_ test: Case, _ vision: VisionRunner) throws -> ImagePrompt {
        try ImagePrompt(
            test.ids,
            test.images.map {
                let file = try Data(contentsOf: folder.appending(path: "image\($0).png"))
                return .init(features: try vision.encode(file), number: Int32($0))
            }, for: vision)
    }

    func model(
        tokens: Int, _ change: (inout LoadOptions) -> Void = { _ in }
    ) throws -> (any CompiledModel, VisionRunner) {
        var options = LoadOptions()
        options.compute = .f32
        options.threads = 2
        options.contextLength = tokens
        options.maxRequests = 8
        options.maxSampledRows = 256
        change(&options)
        let checkpoint = try Checkpoint(path: folder.path)
        let outline = try ModelOutline(checkpoint, options: options)
        return (try outline.compile { _ in }, try #require(try outline.compileVision(checkpoint)))
    }

    static func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
        a.count == b.count ? zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } : .infinity
    }

    static func deviation(_ values: [Float]) -> Float {
        let mean = values.reduce(0, +) / Float(values.count)
        return (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Float(values.count)).squareRoot()
    }
}

@Suite(.enabled(if: !VisionReference.all.isEmpty, "shared/fixtures/models is absent"))
struct VisionReferenceTests {
    /// Float32 on both sides, and the same operations in another order: a ten-thousandth of the logits' deviation is a
    /// twentieth of what the fixtures' README allows.
    static let exact: Float = 1e-4

    @Test(arguments: VisionReference.all)
    func logitsAreThoseOfTheReference(model: VisionReference) throws {
        let (compiled, vision) = try model.model(tokens: 256)
        for test in try model.cases() {
            let prompt = try model.prompt(test, vision)
            func logits(chunk: Int) -> [Float] {
                let evaluator = SequenceEvaluator(compiled)
                evaluator.features = prompt.features
                var result: [Float] = []
                evaluator.forEachLogits(of: prompt.tokens, chunk: chunk) { _, _, logits in result += logits }
                return result
            }
            let whole = logits(chunk: 256)
            let difference = VisionReference.largestDifference(whole, test.logits)
            let deviation = VisionReference.deviation(test.logits)
            print(model, test.name, "largest difference / deviation", difference / deviation)
            #expect(difference <= Self.exact * deviation, "\(test.name): \(difference / deviation) of the deviation")
            for chunk in [1, 5] { #expect(logits(chunk: chunk) == whole, "\(test.name) in chunks of \(chunk)") }
        }
    }

    /// Usual arithmetic: an f16 KV cache, and bf16 activations where weights are bf16. These models are so narrow that
    /// rounding weighs more than in real ones: up to 0.003 and 0.035 of the deviation were seen.
    @Test(arguments: VisionReference.all)
    func usualArithmeticIsWithinTheTolerance(model: VisionReference) throws {
        let (compiled, vision) = try model.model(tokens: 256) {
            $0.compute = .auto
            $0.kvType = .f16
        }
        let checkpoint = try Checkpoint(path: model.folder.path)
        let types = Set(try checkpoint.tensorNames.map { try checkpoint.tensor($0).type })
        for test in try model.cases() {
            let prompt = try model.prompt(test, vision)
            let evaluator = SequenceEvaluator(compiled)
            evaluator.features = prompt.features
            var logits: [Float] = []
            evaluator.forEachLogits(of: prompt.tokens, chunk: 256) { _, _, part in logits += part }
            let difference =
                VisionReference.largestDifference(logits, test.logits) / VisionReference.deviation(test.logits)
            print(model, test.name, "usual arithmetic", difference)
            #expect(difference <= (types == [.f32] ? 1e-2 : 6e-2), "\(test.name)")
        }
    }

    @Test(arguments: VisionReference.all)
    func greedyContinuationsAreThoseOfTheReference(model: VisionReference) throws {
        let (compiled, vision) = try model.model(tokens: 256)
        var compared = 0
        for test in try model.cases() {
            guard test.margin > 10 * Self.exact * VisionReference.deviation(test.logits) else { continue }
            let prompt = try model.prompt(test, vision)
            let evaluator = SequenceEvaluator(compiled)
            evaluator.features = prompt.features
            var next = prompt.tokens
            var continuation: [Int32] = []
            while continuation.count < test.greedy.count {
                let logits = evaluator.step([(0, next[...])], logits: 1)
                next = [Int32(logits.indices.max { logits[$0] < logits[$1] } ?? 0)]
                continuation += next
            }
            #expect(continuation == test.greedy, "\(test.name)")
            compared += 1
        }
        #expect(compared == 4)
    }

    @Test func imageFeaturesAreThoseOfTheReference() throws {
        let model = try #require(VisionReference.all.first { $0.testDescription == "llava15" })
        let (_, vision) = try model.model(tokens: 64)
        let reference = try ReferenceTensors(model.folder.appending(path: "ref.safetensors"))
        for test in try model.cases() where !test.images.isEmpty {
            let expected = try reference.floats(test.name + ".image_features").values
            let features = try model.prompt(test, vision).features.spans.flatMap { Array($0.rows.floats) }
            let difference = VisionReference.largestDifference(features, expected)
            print(test.name, "image features", difference / VisionReference.deviation(expected))
            #expect(difference <= Self.exact * VisionReference.deviation(expected), "\(test.name)")
        }
    }

    /// Rotary positions of images and of the text behind them.
    @Test(arguments: VisionReference.all.filter { $0.testDescription != "llava15" })
    func positionsAreThoseOfTheReference(model: VisionReference) throws {
        let (_, vision) = try model.model(tokens: 64)
        let reference = try ReferenceTensors(model.folder.appending(path: "ref.safetensors"))
        for test in try model.cases() where !test.images.isEmpty {
            let expected = try reference.integers(test.name + ".position_ids").values
            let features = try model.prompt(test, vision).features
            let positions = (0..<3).flatMap { axis in features.rotaryPositions.map { Int64($0[axis]) } }
            #expect(positions == expected, "\(test.name)")
            #expect(features.rotaryOffset == Int(expected.max() ?? 0) + 1 - test.ids.count)
        }
    }

    @Test func anImageTokenStandsForAllRowsOfItsImage() throws {
        let model = try #require(VisionReference.all.first { $0.testDescription == "llava15" })
        let (_, vision) = try model.model(tokens: 64)
        let test = try model.cases()[3]
        let expanded = try model.prompt(test, vision)
        var ids: [Int32] = []
        var left = 0
        for id in test.ids {
            guard id == Int32(vision.model.imageToken) else {
                ids.append(id)
                continue
            }
            if left == 0 {
                ids.append(id)
                left = 4
            }
            left -= 1
        }
        let sources = try test.images.map {
            ImagePrompt.Source(
                features: try vision.encode(Data(contentsOf: model.folder.appending(path: "image\($0).png"))),
                number: Int32($0))
        }
        let compact = try ImagePrompt(ids, sources, for: vision)
        #expect(compact.tokens == expanded.tokens)
        #expect(compact.features.spans.map(\.range) == expanded.features.spans.map(\.range))
        // One image too few, one too many, and rows that are not in one run.
        #expect(throws: EngineError.self) { try ImagePrompt(ids, [sources[0]], for: vision) }
        #expect(throws: EngineError.self) { try ImagePrompt([5, 6], [sources[0]], for: vision) }
        let token = Int32(vision.model.imageToken)
        #expect(throws: EngineError.self) {
            try ImagePrompt([token, token, 7, token, token], [sources[0]], for: vision)
        }
    }

    /// Requests with images in one engine, beside each other and beside text, get what each gets alone.
    @Test(arguments: VisionReference.all)
    func requestsShareStepsWithoutATrace(model: VisionReference) async throws {
        let cases = try model.cases()
        let (compiled, vision) = try model.model(tokens: 128) { $0.maxBatchedTokens = 16 }
        let prompts = try cases.map { try model.prompt($0, vision) }
        let engine = try LLMEngine(ModelRunner(compiled), contextLength: 128, endTokens: [])
        var parameters = SamplingParameters()
        parameters.temperature = 0
        parameters.maxTokens = 24
        var streams: [AsyncThrowingStream<RequestOutput, any Error>] = []
        for prompt in prompts + prompts {
            var request = EngineRequest(prompt: prompt.tokens, parameters: parameters, decoder: NoText())
            request.features = prompt.features
            streams.append(try await engine.submit(request))
        }
        for (index, stream) in streams.enumerated() {
            var tokens: [Int32] = []
            for try await output in stream { tokens += output.tokenIDs.map { Int32($0) } }
            let test = cases[index % cases.count]
            guard test.margin > 10 * Self.exact * VisionReference.deviation(test.logits) else { continue }
            #expect(tokens == test.greedy, "\(test.name)")
        }
        await engine.shutdown()
    }

    @Test func aPromptMustHaveRowsForItsImages() async throws {
        let model = try #require(VisionReference.all.first)
        let (compiled, _) = try model.model(tokens: 64)
        let engine = try LLMEngine(ModelRunner(compiled), contextLength: 64, endTokens: [])
        await #expect(throws: EngineError.self) {
            try await engine.submit(
                EngineRequest(prompt: [1, -1, -1, 2], parameters: SamplingParameters(), decoder: NoText()))
        }
        await engine.shutdown()
    }

    /// What an image looks like has no token whose log-probability could be told.
    @Test func promptsWithImagesHaveNoLogprobs() async throws {
        let model = try #require(VisionReference.all.first)
        let (compiled, vision) = try model.model(tokens: 64)
        let test = try #require(try model.cases().first { !$0.images.isEmpty })
        let prompt = try model.prompt(test, vision)
        let engine = try LLMEngine(ModelRunner(compiled), contextLength: 64, endTokens: [])
        var request = EngineRequest(prompt: prompt.tokens, parameters: SamplingParameters(), decoder: NoText())
        request.features = prompt.features
        request.parameters.promptLogprobs = 1
        let error = await #expect(throws: EngineError.self) { try await engine.submit(request) }
        #expect(error?.parameter == "promptLogprobs")
        await engine.shutdown()
    }
}

/// Tokens are all that is looked at.
private struct NoText: TokenDecoder {
    mutating func append(_ token: Int32) -> String { "" }
    mutating func finish() -> String { "" }
}
