import MartletTokenizers
import Testing

@testable import MartletGrammar

/// What is counted so that no structure costs more than its limits.
struct GrammarBoundsTests {
    @Test func emptyAlternativesAreOne() throws {
        var builder = AutomatonBuilder()
        let place = try builder.placeholder()
        #expect(try builder.choice([place, builder.failure, place, place]) == place)
        let bars = String(repeating: "|", count: 1_000)
        let pattern = try PatternParser.parse("a(?:\(bars)){200}", finds: false, limits: .init())
        // The end, and what takes the letter.
        #expect(try PositionAutomaton(pattern, &builder).nodes.count == 2)
        var limits = GrammarLimits()
        limits.work = 20_000
        let grammar = try Vocabulary.grammar(.regex(#"(?:[\s\S](?:\#(bars))){1,1000}"#), limits: limits)
        #expect(try !GrammarMatcher(grammar).mask().tokens.isEmpty)
        // So many that it takes seconds where each is looked at again for every character.
        let many = #"(?:[\s\S](?:"# + String(repeating: "|", count: 300_000) + ")){1,1000}"
        let large = try Vocabulary.grammar(.regex(many))
        let start = ContinuousClock.now
        #expect(try !GrammarMatcher(large).mask().tokens.isEmpty)
        #expect(ContinuousClock.now - start < .seconds(2))
    }

    @Test func everyAlternativeIsCharged() throws {
        var late = AutomatonBuilder(deadline: .now)
        let error = #expect(throws: GrammarError.self) {
            try late.choice(Array(repeating: late.end, count: 1_000))
        }
        #expect(error?.kind == .tooComplex)
        // Ten choices of the same hundred: each way is looked at, though all lead to the same hundred places.
        var builder = AutomatonBuilder()
        var targets: [AutomatonBuilder.NodeID] = []
        for byte in UInt8(0)..<100 { targets.append(try builder.bytes(ByteSet(byte...byte), builder.end)) }
        var choices: [AutomatonBuilder.NodeID] = []
        for _ in 0..<10 { choices.append(try builder.choice(targets)) }
        let start = try builder.choice(choices)
        let space = try StateSpace(builder.automaton(start: start), limits: .init())
        #expect(space.work >= 1_000)
        // Ways take memory as nodes do.
        var limits = GrammarLimits()
        limits.nodes = 200
        var small = AutomatonBuilder(limits: limits)
        targets = []
        for byte in UInt8(0)..<100 { targets.append(try small.bytes(ByteSet(byte...byte), small.end)) }
        #expect(throws: GrammarError.self) { for _ in 0..<50 { _ = try small.choice(targets) } }
    }

    @Test func setsOfCharactersAreCounted() throws {
        var limits = GrammarLimits()
        limits.ranges = 20_000
        // What any character satisfies costs nothing.
        _ = try Vocabulary.grammar(.jsonSchema(#"{"pattern": "^\\p{L}{1,50}$", "maxLength": 60}"#), limits: limits)
        let both = #"{"type": "string", "allOf": [{"pattern": "^\\p{L}{1,50}$"}, {"pattern": "^[^\\p{Lu}]{1,50}$"}]}"#
        _ = try Vocabulary.grammar(.jsonSchema(both))
        let error = #expect(throws: GrammarError.self) { try Vocabulary.grammar(.jsonSchema(both), limits: limits) }
        #expect(error?.kind == .tooComplex)
        let letters = OutputStructure.regex("[" + String(repeating: #"\p{L}"#, count: 5_000) + "]")
        #expect(throws: GrammarError.self) { try Vocabulary.grammar(letters) }
    }

    /// What is known is given up again and again, and nobody's answer is followed from its start for that.
    @Test func answersGoOnWhereTheyAre() throws {
        let expression = OutputStructure.regex("(?:a|aa){300,500}")
        var limits = GrammarLimits()
        limits.cacheBytes = 0
        limits.work = 30_000
        let forgetful = try Vocabulary.grammar(expression, limits: limits)
        let whole = try Vocabulary.grammar(expression)
        var answers = [GrammarMatcher(forgetful), GrammarMatcher(forgetful)]
        var expected = GrammarMatcher(whole)
        for step in 0..<450 {
            expected.accept(0x61)
            for index in answers.indices { answers[index].accept(0x61) }
            guard step % 50 == 49 else { continue }
            let mask = try expected.mask()
            for answer in answers {
                let other = try answer.mask()
                #expect(other.tokens.tokens == mask.tokens.tokens && other.isComplete == mask.isComplete)
            }
        }
        #expect(try expected.mask().isComplete)
    }

    private struct Weak {
        weak var exploration: Grammar.Exploration?
    }

    @Test func whatIsKnownGoesWithItsLastAnswer() throws {
        var limits = GrammarLimits()
        limits.cacheBytes = 0
        let grammar = try Vocabulary.grammar(.json, limits: limits)
        var positions = [try grammar.advance(nil, by: Array("{\"a".utf8))]
        let first = Weak(exploration: positions[0].exploration)
        positions.append(try grammar.advance(positions[0], by: Array("\":1".utf8)))
        #expect(first.exploration != nil && first.exploration !== positions[1].exploration)
        positions.removeFirst()
        #expect(first.exploration == nil)
    }

    /// Only the answer fails that takes too much work.
    @Test func tokensTakeBoundedWork() throws {
        var limits = GrammarLimits()
        limits.work = 10_000
        let grammar = try Vocabulary.grammar(.regex("(?:a|aa){300,500}"), limits: limits)
        let error = #expect(throws: GrammarError.self) {
            try grammar.advance(nil, by: Array(repeating: UInt8(ascii: "a"), count: 400))
        }
        #expect(error?.kind == .tooComplex)
        _ = try grammar.advance(nil, by: [UInt8(ascii: "a")])
    }
}
