import Martlet
import TestSupport
import Testing

@Suite struct StopStringMatcherTests {
    /// Feeds `text` in parts of the given sizes.
    static func run(_ text: [Unicode.Scalar], cuts: [Int], stop: [String], keepsMatch: Bool) -> (String, Bool) {
        var matcher = StopStringMatcher(stop, keepsMatch: keepsMatch)
        var result = ""
        var start = 0
        for cut in cuts + [text.count] {
            var part = ""
            part.unicodeScalars.append(contentsOf: text[start..<cut])
            result += matcher.append(part)
            start = cut
        }
        return (result + matcher.flush(), matcher.isFinished)
    }

    /// The slow, obvious way: looks at every prefix of the text, the shortest first.
    static func reference(_ text: [UInt8], stop: [String], keepsMatch: Bool) -> (String, Bool) {
        for end in 0...text.count {
            let matches = stop.filter { text[..<end].suffix($0.utf8.count).elementsEqual($0.utf8) }
            guard let longest = matches.map(\.utf8.count).max() else { continue }
            return (String(decoding: text[..<(keepsMatch ? end : end - longest)], as: UTF8.self), true)
        }
        return (String(decoding: text, as: UTF8.self), false)
    }

    @Test func nothingOfAStopStringLeaksEarly() {
        var matcher = StopStringMatcher(["</answer>"], keepsMatch: false)
        #expect(matcher.append("42 <") == "42 ")
        #expect(matcher.append("/ans") == "")
        #expect(matcher.append("we") == "")
        #expect(matcher.append("r> and more") == "")
        #expect(matcher.isFinished)
        #expect(matcher.append("even more") == "")
        #expect(matcher.flush() == "")
    }

    @Test func whatOnlyLookedLikeAStopStringIsReleased() {
        var matcher = StopStringMatcher(["aab"], keepsMatch: false)
        #expect(matcher.append("aa") == "")
        #expect(matcher.append("a") == "a")
        #expect(matcher.append("c") == "aac")
        #expect(matcher.append("a") == "")
        #expect(matcher.flush() == "a")
        #expect(!matcher.isFinished)
    }

    @Test(arguments: 0..<60 as Range<UInt64>) func randomTexts(seed: UInt64) {
        var generator = TestGenerator(seed: seed)
        // Few characters, of one to four bytes, so that partial matches are common.
        let alphabet: [Unicode.Scalar] = ["a", "b", "é", "日", "🙂"]
        func scalars(_ count: Int) -> [Unicode.Scalar] {
            (0..<count).map { _ in alphabet[generator.below(2 + Int(seed % 4))] }
        }
        for _ in 0..<20 {
            let text = scalars(generator.below(60))
            let stop = (0..<1 + generator.below(3)).map { _ in
                var string = ""
                string.unicodeScalars.append(contentsOf: scalars(1 + generator.below(6)))
                return string
            }
            let keepsMatch = generator.below(2) == 0
            let bytes = text.flatMap { Array(String($0).utf8) }
            let expected = Self.reference(bytes, stop: stop, keepsMatch: keepsMatch)
            for _ in 0..<3 {
                let cuts = (0..<generator.below(10)).map { _ in generator.below(text.count + 1) }.sorted()
                let result = Self.run(text, cuts: cuts, stop: stop, keepsMatch: keepsMatch)
                #expect(result == expected)
            }
        }
    }

    /// 64 strings of 4096 bytes that all match everything but the last byte: linear, or this takes minutes.
    @Test(.timeLimit(.minutes(1))) func hostileStopStrings() {
        let stop = (0..<64).map { String(repeating: "a", count: 4032 + $0) + "b" }
        var matcher = StopStringMatcher(stop, keepsMatch: false)
        var length = 0
        for _ in 0..<20 { length += matcher.append(String(repeating: "a", count: 1000)).utf8.count }
        #expect(length == 20_000 - 4095)
        #expect(matcher.append("b") == "")
        #expect(matcher.isFinished)
    }
}

@Suite struct OutputProcessorTests {
    /// Spells tokens from a list, with a rest that only `finish` gives.
    struct ListDecoder: TokenDecoder {
        var words: [String]
        var rest = ""

        mutating func append(_ token: Int32) -> String { words[Int(token)] }
        mutating func finish() -> String { rest }
    }

    static func outputs(
        _ decoder: ListDecoder, tokens: [Int32], reason: FinishReason?,
        _ change: (inout SamplingParameters) -> Void = { _ in }
    ) -> [RequestOutput] {
        var parameters = SamplingParameters()
        change(&parameters)
        let now = ContinuousClock.now
        var processor = OutputProcessor(
            id: RequestID(1), EngineRequest(prompt: [0], parameters: parameters, decoder: decoder), arrival: now)
        var outputs: [RequestOutput] = []
        for (index, token) in tokens.enumerated() where !processor.isFinished {
            outputs.append(
                processor.process(
                    TokenEvent(
                        sample: SampledToken(token: token), finishReason: index == tokens.count - 1 ? reason : nil,
                        admitted: now, drawn: now)))
        }
        return outputs
    }

    static let decoder = ListDecoder(words: ["Hello", " wor", "ld", "!", "</s>"], rest: "�")

    @Test func theEndTokenIsNoText() {
        let outputs = Self.outputs(Self.decoder, tokens: [0, 1, 2, 4], reason: .stop)
        #expect(outputs.map(\.text) == ["Hello", " wor", "ld", "�"])
        #expect(outputs.last?.tokenIDs == [4])
        #expect(outputs.last?.usage.generatedTokens == 4)
    }

    @Test func theLastTokenOfALongAnswerIsText() {
        let outputs = Self.outputs(Self.decoder, tokens: [0, 3], reason: .length)
        #expect(outputs.map(\.text) == ["Hello", "!�"])
        #expect(outputs.last?.finishReason == .length)
    }

    @Test func aStopStringAcrossTokensEndsTheAnswer() {
        let outputs = Self.outputs(Self.decoder, tokens: [0, 1, 2, 3], reason: nil) { $0.stop = ["o world"] }
        #expect(outputs.map(\.text) == ["Hell", "", ""])
        #expect(outputs.last?.finishReason == .stop)
        #expect(outputs.map(\.stopString) == [nil, nil, "o world"])
        #expect(outputs.last?.usage.generatedTokens == 3)
    }

    @Test func heldBackTextComesWithTheEnd() {
        let outputs = Self.outputs(Self.decoder, tokens: [0, 1], reason: .length) { $0.stop = [" world"] }
        #expect(outputs.map(\.text) == ["Hello", " wor�"])
    }

    @Test func aStopStringInTheLastTextIsAStop() {
        let outputs = Self.outputs(Self.decoder, tokens: [0, 1, 2], reason: .length) { $0.stop = ["world�"] }
        #expect(outputs.map(\.text).joined() == "Hello ")
        #expect(outputs.last?.finishReason == .stop)
    }

    @Test func theEndTokensTextComesIfAsked() {
        let outputs = Self.outputs(Self.decoder, tokens: [0, 4], reason: .stop) { $0.includeStopString = true }
        #expect(outputs.map(\.text) == ["Hello", "</s>�"])
    }

    /// As in vLLM, where a match has to end behind the minimum, but may begin before it.
    @Test func aStopStringMayBeginBeforeTheMinimum() {
        let outputs = Self.outputs(Self.decoder, tokens: [0, 0, 1, 3], reason: nil) {
            ($0.stop, $0.minTokens) = (["Hello", "o w"], 2)
        }
        #expect(outputs.map(\.text) == ["Hell", "oHell", ""])
        #expect(outputs.last?.finishReason == .stop)
    }

    @Test func stopStringsDontCountBeforeTheMinimum() {
        let outputs = Self.outputs(Self.decoder, tokens: [0, 0, 0, 3], reason: nil) {
            ($0.stop, $0.minTokens) = (["ell"], 2)
        }
        #expect(outputs.map(\.text) == ["Hello", "Hello", "H"])
        #expect(outputs.last?.finishReason == .stop)
    }
}
