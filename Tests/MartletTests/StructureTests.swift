import Foundation
import MartletGrammar
import MartletGraph
import TestSupport
import Testing

@testable import Martlet

/// Answers have the structure that they are held to, whatever the engine does with their requests.
@Suite struct StructureTests {
    static let trie = TokenTrie(
        (1..<FakeModel.vocabularySize - 1).map { (bytes: Array(FakeDecoder.spelling($0).utf8), token: Int32($0)) },
        vocabularySize: FakeModel.vocabularySize)

    static let structures: [OutputStructure?] = [
        .regex("([a-m]{2,3}[n-z])+"), .grammar("root ::= [a-m] root [n-z] | [a-z]{3}"), nil,
        .choice(["abacus", "abc", "zebra", "zebras"]), .regex("[a-f]{1,40}"),
        .sequence([.textWithout("ab"), .regex("ab|c")]),
    ]

    static let requests: [EngineRequest] = {
        var generator = TestGenerator(seed: 77)
        return (0..<36).compactMap { index in
            var parameters = SamplingParameters()
            parameters.maxTokens = 1 + generator.below(50)
            parameters.temperature = index % 2 == 0 ? 0 : 1.2
            parameters.seed = generator.next()
            if index % 3 == 0 { parameters.repetitionPenalty = 1.3 }
            if index % 4 == 0 { parameters.topK = 5 }
            parameters.structure = structures[index % structures.count]
            let prompt = (0..<1 + generator.below(60)).map { _ in Int32(1 + generator.below(62)) }
            var request = EngineRequest(prompt, parameters)
            request.matcher = parameters.structure.flatMap { try? GrammarMatcher(Grammar($0, trie)) }
            return request
        }
    }()

    static let expected: [Answer] = requests.map { request in
        guard
            let (tokens, reason) = try? FakeModel.expected(
                request.prompt, request.parameters, grammar: request.matcher?.grammar,
                contextLength: EngineEqualityTests.contextLength)
        else { return Answer() }
        let words = reason == .stop ? tokens.dropLast() : tokens[...]
        return Answer(text: words.map(FakeDecoder.spelling).joined(), tokens: tokens, reason: reason)
    }

    @Test func theReferenceHasItsStructure() throws {
        var ended = 0
        for (request, answer) in zip(Self.requests, Self.expected) {
            guard let grammar = request.matcher?.grammar, answer.reason == .stop else { continue }
            #expect(try grammar.matches(Array(answer.text.utf8)), "\(answer.text)")
            ended += 1
        }
        #expect(ended > 15)
        #expect(Self.expected.contains { $0.reason == .length })
    }

    @Test(arguments: EngineEqualityTests.configurations, [false, true])
    func answersAreThoseOfEachRequestAlone(
        _ configuration: EngineEqualityTests.Configuration, proposes: Bool
    ) async throws {
        let model = FakeModel(rowCount: configuration.rowCount, sampledRows: 64)
        var options = EngineOptions()
        options.maxBatchedTokens = configuration.maxBatchedTokens
        options.maxRequests = configuration.maxRequests
        options.prefillChunk = configuration.prefillChunk
        options.cachesPrefixes = configuration.cachesPrefixes
        options.alwaysSpeculates = true
        options.maxDraftTokens = 5
        if configuration.preempts != false { options.assumedAnswerTokens = 0 }
        let engine = try LLMEngine(
            model.runner, contextLength: EngineEqualityTests.contextLength, endTokens: [FakeModel.endToken],
            options: options,
            proposer: proposes ? SpeculationTests.CorruptingProposer(FakeModel(rowCount: 1500)) : nil)
        var answers: [Answer] = []
        if configuration.isSolo {
            for request in Self.requests { answers.append(try await Answer(engine.submit(request))) }
        } else {
            for stream in try await engine.submitTogether(Self.requests) { answers.append(try await Answer(stream)) }
        }
        #expect(answers == Self.expected)
        #expect(model.faults == [])
        let statistics = await engine.statistics
        #expect(statistics.usedCacheRows == 0 && statistics.failedRequests == 0)
        if proposes, configuration.maxBatchedTokens > 16 { #expect(statistics.speculation?.acceptedTokens ?? 0 > 20) }
    }

    /// Each answer of a request follows the structure by itself.
    @Test func severalAnswersHaveTheirStructure() async throws {
        let engine = try LLMEngine(
            FakeModel(rowCount: 2000).runner, contextLength: 150, endTokens: [FakeModel.endToken])
        var request = EngineRequest([1, 2, 3])
        request.parameters.n = 6
        request.parameters.seed = 3
        request.parameters.structure = .regex("([a-c][x-z]){2,9}")
        let grammar = try Grammar(.regex("([a-c][x-z]){2,9}"), Self.trie)
        request.matcher = GrammarMatcher(grammar)
        var texts = [String](repeating: "", count: 6)
        for try await output in try await engine.submit(request) { texts[output.index] += output.text }
        #expect(Set(texts).count > 1)
        for text in texts { #expect(try grammar.matches(Array(text.utf8)), "\(text)") }
    }

    @Test func whatDoesNotGoTogetherIsRefused() {
        for change in [
            { $0.ignoreEOS = true }, { $0.minTokens = 1 }, { $0.allowedTokenIDs = [1] },
        ] as [(inout SamplingParameters) -> Void] {
            var parameters = SamplingParameters()
            parameters.structure = .json
            change(&parameters)
            #expect(throws: EngineError.self) { try parameters.validate() }
        }
    }

    /// Compiled structures are kept for others, the last of them, as long as they fit.
    @Test func structuresAreKeptWhileTheyFit() async throws {
        var model = TinyModelFolder()
        model.files["tokenizer.json"] = Data(ContinuationTests.tokenizer.utf8)
        let folder = try model.write()
        let tokenizer = try await LLM.load(folder.path).tokenizer
        for (mostMemory, isKept) in [(1, false), (128 << 20, true)] {
            let cache = GrammarCache(tokenizer, mostMemory: mostMemory)
            let first = try await cache.grammar(.choice(["a"]), RequestTerms())
            #expect(try await cache.grammar(.choice(["a"]), RequestTerms()) === first)
            _ = try await cache.grammar(.choice(["b"]), RequestTerms())
            let again = try await cache.grammar(.choice(["a"]), RequestTerms())
            #expect((again === first) == isKept)
        }
    }

    /// Only the request that can't be followed fails.
    @Test func aStructureThatGetsTooComplexFailsItsRequest() async throws {
        let engine = try LLMEngine(
            FakeModel(rowCount: 2000).runner, contextLength: 150, endTokens: [FakeModel.endToken])
        var limits = GrammarLimits()
        limits.configurations = 8
        var request = EngineRequest([1, 2, 3], LLMEngineTests.parameters(maxTokens: 50))
        request.parameters.ignoreEOS = false
        request.matcher = GrammarMatcher(
            try Grammar(.regex("([a-z]|[a-z][a-z]){1,60}a"), Self.trie, limits: limits))
        async let other = Answer(engine.submit(EngineRequest([1], LLMEngineTests.parameters(maxTokens: 50))))
        await #expect(throws: EngineError.self) { _ = try await Answer(engine.submit(request)) }
        #expect(try await other.tokens.count == 50)
    }

    /// A request whose masks take several times as long as a step draws when they are there. Others go on meanwhile.
    @Test func aSlowMaskHoldsUpNobody() async throws {
        let letters = Array(UInt8(ascii: "a")...UInt8(ascii: "z"))
        var entries = (1..<FakeModel.vocabularySize - 1).map {
            (bytes: Array(FakeDecoder.spelling($0).utf8), token: Int32($0))
        }
        // Tokens that the model does not have.
        for first in letters {
            for second in letters {
                for third in letters {
                    entries.append(([first, second, third], Int32(entries.count + 2)))
                }
            }
        }
        let trie = TokenTrie(entries, vocabularySize: entries.count + 2)
        var structured = EngineRequest([1, 2, 3], LLMEngineTests.parameters(maxTokens: 100))
        structured.parameters.ignoreEOS = false
        // Every place in it is another state, with a mask of its own.
        structured.matcher = GrammarMatcher(try Grammar(.regex("[a-z]{100,400}"), trie))
        let model = FakeModel(rowCount: 2000)
        let engine = try LLMEngine(model.runner, contextLength: 150, endTokens: [FakeModel.endToken])
        let alone = try await Answer(engine.submit(structured))
        #expect(await engine.statistics.postponedTokens == 0)

        structured.matcher = GrammarMatcher(try Grammar(.regex("[a-z]{100,401}"), trie))
        let streams = try await engine.submitTogether([
            structured, EngineRequest([1], LLMEngineTests.parameters(maxTokens: 100)),
        ])
        async let slow = (Answer(streams[0]), ContinuousClock.now)
        async let quick = (Answer(streams[1]), ContinuousClock.now)
        let ended = try await (slow: slow, quick: quick)
        #expect(ended.slow.0 == alone)
        #expect(ended.quick.0.tokens.count == 100)
        #expect(ended.quick.1 < ended.slow.1)
        let statistics = await engine.statistics
        #expect(statistics.postponedTokens > 0 && statistics.usedCacheRows == 0)
        #expect(model.faults == [])
    }
}
