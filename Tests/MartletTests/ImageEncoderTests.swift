import Foundation
import TestSupport
import Testing

@testable import Martlet

/// Who waits for images to be encoded, and for how long.
@Suite(.enabled(if: VisionReference.llava != nil, "shared/fixtures/models is absent"))
struct ImageEncoderTests {
    private static func image() throws -> Data {
        try Data(contentsOf: #require(VisionReference.llava).folder.appending(path: "image0.png"))
    }

    @Test func whatNobodyWaitsForIsNotEncoded() async throws {
        let (_, vision) = try #require(VisionReference.llava).model(tokens: 64)
        let encoder = ImageEncoder(vision)
        let files = [try Self.image()]
        let late = await #expect(throws: EngineError.self) {
            try await encoder.encode(files, RequestTerms(deadline: .now))
        }
        #expect(late?.code == .deadlineExceeded)
        let waited = await #expect(throws: EngineError.self) {
            try await encoder.encode(files, RequestTerms(queueDeadline: .now))
        }
        #expect(waited?.code == .queueTimeout)
        let cancelled = Task {
            while !Task.isCancelled { await Task.yield() }
            return try await encoder.encode(files, RequestTerms()).count
        }
        cancelled.cancel()
        await #expect(throws: EngineError.self) { try await cancelled.value }
        #expect(await encoder.encodedCount == 0)
        #expect(try await encoder.encode(files, RequestTerms()).count == 1)
        #expect(await encoder.encodedCount == 1)
    }

    /// Images wait as requests do, and no more of them than may.
    @Test func imagesNeedAPlaceInTheQueue() async throws {
        let reference = try #require(VisionReference.llava)
        let folder = try TemporaryFolder()
        for name in ["config.json", "preprocessor_config.json", "model.safetensors"] {
            try folder.write(Data(contentsOf: reference.folder.appending(path: name)), to: name)
        }
        try folder.write(#"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}"#, to: "tokenizer.json")
        var options = LoadOptions()
        (options.contextLength, options.maxRequests) = (64, 1)
        var engineOptions = EngineOptions()
        engineOptions.maxQueuedRequests = 1
        let llm = try await LLM.load(folder.path, options: options, engine: engineOptions)
        let encoder = try #require(llm.images)
        var parameters = SamplingParameters()
        (parameters.maxTokens, parameters.ignoreEOS) = (1, true)
        // 300 is the image's token.
        let prompt = Prompt.chat(tokens: [3, 300, 4], images: [try Self.image()])
        try llm.engine.gauge.enter(2)
        let full = await #expect(throws: EngineError.self) { try await llm.generate(prompt, parameters) }
        #expect(full?.code == .queueFull)
        #expect(await encoder.encodedCount == 0)
        llm.engine.gauge.leave(2)
        // What fails gives its place back.
        for _ in 0..<3 {
            let error = await #expect(throws: EngineError.self) {
                try await llm.generate(.chat(tokens: [3, 300, 4], images: [Data("no image".utf8)]), parameters)
            }
            #expect(error?.code == .invalidPrompt)
        }
        // Time runs from the call on.
        var late = RequestOptions()
        late.timeout = .zero
        let error = await #expect(throws: EngineError.self) {
            try await llm.generate(prompt, parameters, options: late)
        }
        #expect(error?.code == .deadlineExceeded)
        #expect(await encoder.encodedCount == 0)
        let completion = try await Completion(llm.generate(prompt, parameters))
        #expect(completion.tokenIDs.count == 1 && completion.usage.promptTokens == 6)
        #expect(await encoder.encodedCount == 1)
        await llm.shutdown()
    }
}
