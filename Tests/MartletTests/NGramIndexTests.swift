import TestSupport
import Testing

@testable import Martlet

@Suite struct NGramIndexTests {
    /// The longest suffix, up to `limit` tokens, that occurs earlier, and where: by comparing everything with everything.
    /// Of equally long ones the latest.
    private static func reference(_ tokens: [Int32], limit: Int) -> (next: Int, length: Int)? {
        var best: (next: Int, length: Int)?
        for next in 1..<max(1, tokens.count) {
            var length = 0
            while length < limit, length < next, tokens[next - 1 - length] == tokens[tokens.count - 1 - length] {
                length += 1
            }
            if length > 0, length >= best?.length ?? 0 { best = (next, length) }
        }
        return best
    }

    /// The match is as long as the longest, up to the n-grams that are looked up; a longer one is really there.
    @Test(arguments: 0..<30 as Range<UInt64>) func matchesAreTrueAndLongEnough(seed: UInt64) {
        var generator = TestGenerator(seed: seed)
        let vocabulary = 2 + Int(seed) % 12
        var index = NGramIndex()
        var tokens: [Int32] = []
        for _ in 0..<400 {
            let token: Int32
            if generator.below(4) > 0, tokens.count > 20 {
                // Copies, so that there are long matches.
                token = tokens[tokens.count - 1 - Int(seed % 17)]
            } else {
                token = Int32(generator.below(vocabulary))
            }
            tokens.append(token)
            index.append(token)
            let expected = Self.reference(tokens, limit: NGramIndex.longestMatch)
            guard let match = index.match else {
                #expect(expected == nil)
                continue
            }
            let expectedLength = expected?.length ?? 0
            #expect(match.length >= min(expectedLength, NGramIndex.longestNGram))
            #expect(match.length <= expectedLength)
            #expect(match.next < tokens.count)
            #expect(tokens[..<match.next].suffix(match.length) == tokens.suffix(match.length))
        }
        #expect(index.tokens == tokens)
    }

    @Test func nothingMatchesInNewText() {
        var index = NGramIndex()
        #expect(index.match == nil && index.guess(0) == nil)
        for token in 0..<1000 as Range<Int32> {
            index.append(token)
            #expect(index.match == nil)
        }
    }

    @Test func guessesAreWhatCameNext() {
        let index = NGramIndex([1, 2, 3, 4, 5, 9, 1, 2, 3])
        #expect(index.match == .init(next: 3, length: 3))
        #expect((0..<4).map { index.guess($0) } == [4, 5, 9, 1])
        // Behind the end the period goes on.
        let periodic = NGramIndex([7, 8, 7, 8, 7])
        #expect((0..<5).map { periodic.guess($0) } == [8, 7, 8, 7, 8])
    }

    /// A match that is being followed isn't left for a later one that agrees in less.
    @Test func aLongMatchIsKept() {
        let passage = (100..<120).map { Int32($0) }
        var index = NGramIndex(passage + [1, 105, 106, 107, 55, 2])
        for token in passage.prefix(8) { index.append(token) }
        #expect(index.match == .init(next: 8, length: 8))
        #expect(index.guess(0) == 108)
    }

    /// Every n-gram has the same last tokens or the same hash bits: neither may make it slow.
    @Test(.timeLimit(.minutes(1))) func longTextsTakeLinearTime() {
        var index = NGramIndex(Array(repeating: 5, count: 200_000))
        #expect(index.match?.length == NGramIndex.longestMatch)
        for token in 0..<200_000 as Range<Int32> { index.append(token &* 65_536) }
        #expect(index.tokens.count == 400_000)
    }
}
