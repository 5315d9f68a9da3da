import Martlet
import MartletGraph
import TestSupport
import Testing

@Suite struct PrefixCacheTests {
    /// Requests on a pool, each run as the scheduler does.
    struct Bench: ~Copyable {
        var memory: RequestMemory
        private var nextID: UInt64 = 0

        init(rowCount: Int, slotCount: Int = 8, cachesPrefixes: Bool = true) {
            memory = RequestMemory(
                rowCount: rowCount, slotCount: slotCount, positionCount: rowCount, cachesPrefixes: cachesPrefixes)
        }

        /// A request that has computed all of its tokens.
        mutating func run(_ tokens: [Int32], salt: String = "", upTo end: Int? = nil) -> RequestState {
            var request = RequestState(
                id: RequestID(nextID), prompt: tokens, limits: .init(maxTokens: 100), terms: .init(cacheSalt: salt))
            nextID += 1
            let admitted = memory.admit(&request)
            #expect(admitted)
            memory.extend(&request, by: (end ?? tokens.count) - request.computedCount)
            return request
        }

        /// Runs and finishes a request.
        ///
        /// - Returns: how many of its tokens were cached.
        mutating func pass(_ tokens: [Int32], salt: String = "") -> Int {
            var request = run(tokens, salt: salt)
            memory.release(&request, keeps: true)
            return request.cachedCount
        }

        func rows(_ request: RequestState) -> [Int32] {
            guard let slot = request.slot else { return [] }
            return Array(UnsafeBufferPointer(start: memory.table.rows(slot), count: request.computedCount))
        }
    }

    static func tokens(_ range: Range<Int>) -> [Int32] { range.map { Int32($0) } }

    @Test func prefixesAreSharedToTheToken() {
        var bench = Bench(rowCount: 1000)
        let first = bench.run(Self.tokens(0..<101))
        for length in [1, 2, 50, 63, 64, 65, 100] {
            var second = bench.run(Self.tokens(0..<length) + [999, 998])
            #expect(second.cachedCount == length)
            #expect(bench.rows(second).prefix(length) == bench.rows(first).prefix(length))
            #expect(bench.memory.usedCount == 103)
            #expect(bench.memory.checkInvariants([first, second]) == [])
            bench.memory.release(&second, keeps: false)
        }
        #expect(bench.memory.usedCount == 101)
    }

    @Test func oneTokenIsAlwaysComputed() {
        var bench = Bench(rowCount: 1000)
        var twins = (0..<4).map { _ in bench.run(Self.tokens(0..<70)) }
        #expect(twins.map(\.cachedCount) == [0, 69, 69, 69])
        #expect(bench.memory.usedCount == 73)
        #expect(bench.memory.checkInvariants(twins) == [])
        // Their last tokens were computed four times; one of them stays.
        for index in twins.indices { bench.memory.release(&twins[index], keeps: true) }
        #expect(bench.memory.usedCount == 0)
        #expect(bench.memory.prefixes.rowCount == 70)
        #expect(bench.memory.checkInvariants([]) == [])
    }

    @Test func aPromptThatIsHalfComputedIsShared() {
        var bench = Bench(rowCount: 1000)
        var first = bench.run(Self.tokens(0..<300), upTo: 128)
        var second = bench.run(Self.tokens(0..<200) + [999], upTo: 200)
        #expect(second.cachedCount == 128)
        // The first goes on where the second has got to.
        bench.memory.reusePrefix(&first)
        #expect(first.computedCount == 200)
        bench.memory.extend(&first, by: 100)
        bench.memory.extend(&second, by: 1)
        #expect(bench.memory.usedCount == 301)
        #expect(bench.memory.checkInvariants([first, second]) == [])
    }

    @Test func answersAreCachedWithTheirPrompts() {
        var bench = Bench(rowCount: 1000)
        var request = bench.run([1, 2, 3])
        for token in Int32(10)..<30 {
            _ = request.append(token)
            bench.memory.extend(&request, by: 1)
        }
        bench.memory.release(&request, keeps: true)
        #expect(bench.pass([1, 2, 3] + Array(10..<30) + [5]) == 23)
        // Its rows continue those of the first turn: the page needs no gathering.
        let third = bench.run([1, 2, 3] + Array(10..<30) + [5, 6])
        #expect(bench.rows(third) == Array(bench.rows(third)[0]..<bench.rows(third)[0] + 25))
    }

    @Test func aSharedPageIsCompletedInPlace() {
        var bench = Bench(rowCount: 640)
        let first = bench.run(Self.tokens(0..<200))
        var second = bench.run(Self.tokens(0..<100) + Self.tokens(500..<600))
        var copies: [RowCopy] = []
        bench.memory.align(&second, copies: &copies)
        // Positions 64 to 99 were in the first one's page.
        #expect(copies.map(\.from) == bench.rows(first)[64..<100].map { $0 })
        let rows = bench.rows(second)
        #expect(rows[64] % 64 == 0 && rows[64..<128].elementsEqual(rows[64]..<rows[64] + 64))
        #expect(rows[..<64].elementsEqual(bench.rows(first)[..<64]))
        #expect(bench.memory.checkInvariants([first, second]) == [])
        // Nothing to do for those that are in place.
        var none: [RowCopy] = []
        bench.memory.align(&second, copies: &none)
        #expect(none.isEmpty)
        bench.memory.release(&second, keeps: true)
        #expect(bench.memory.checkInvariants([first]) == [])
    }

    @Test func saltsShareNothing() {
        var bench = Bench(rowCount: 1000)
        #expect(bench.pass(Self.tokens(0..<50), salt: "a") == 0)
        #expect(bench.pass(Self.tokens(0..<50), salt: "b") == 0)
        #expect(bench.pass(Self.tokens(0..<50), salt: "") == 0)
        #expect(bench.pass(Self.tokens(0..<50), salt: "a") == 49)
    }

    @Test func withoutTheCacheNothingStays() {
        var bench = Bench(rowCount: 1000, cachesPrefixes: false)
        #expect(bench.pass(Self.tokens(0..<50)) == 0)
        #expect(bench.pass(Self.tokens(0..<50)) == 0)
        #expect(bench.memory.pool.usedCount == 0)
    }

    @Test func theLeastRecentlyUsedGoesFirst() {
        var bench = Bench(rowCount: 256)
        for first in 0..<4 { _ = bench.pass([Int32(first)] + Self.tokens(100..<163)) }
        #expect(bench.memory.pool.freeCount == 0)
        // The oldest is used again, so the second is the oldest now.
        #expect(bench.pass([0] + Self.tokens(100..<163)) == 63)
        _ = bench.pass([9] + Self.tokens(200..<263))
        #expect(bench.pass([1] + Self.tokens(100..<163)) == 0)
        #expect(bench.pass([9] + Self.tokens(200..<263)) == 63)
        #expect(bench.memory.checkInvariants([]) == [])
    }

    @Test func aLongLeafLosesItsEndInWholePages() {
        var bench = Bench(rowCount: 640)
        _ = bench.pass(Self.tokens(0..<600))
        _ = bench.pass(Self.tokens(1000..<1050))
        // 600 + 50 rows don't fit: what is left of the first ends with a page.
        #expect(bench.pass(Self.tokens(0..<576) + [5]) == 576)
        #expect(bench.memory.checkInvariants([]) == [])
    }

    @Test func whatIsInUseIsNeverEvicted() {
        var bench = Bench(rowCount: 300)
        let first = bench.run(Self.tokens(0..<150))
        _ = bench.pass(Self.tokens(0..<100) + Self.tokens(500..<520))
        #expect(bench.memory.availableCount == 150)
        let second = bench.run(Self.tokens(700..<850))
        #expect(bench.memory.availableCount == 0)
        #expect(bench.memory.checkInvariants([first, second]) == [])
    }

    /// 10^6 random operations of requests on a small pool, and on one that has whole pages to spare. Every row remembers for which context it was written: the tree
    /// may give a request only what was computed for that very context.
    @Test(arguments: [300, 2500]) func aMillionRandomOperations(rowCount: Int) {
        var generator = TestGenerator(seed: 4)
        var memory = RequestMemory(rowCount: rowCount, slotCount: 8, positionCount: 300, cachesPrefixes: true)
        var requests: [RequestState] = []
        // Per row, the hash of the context up to its token; per request, that of each of its positions.
        var written = Array(repeating: UInt64(0), count: rowCount)
        var prompts: [[Int32]] = []
        var (hits, evictions, copies, nextID) = (0, 0, 0, UInt64(0))

        func hashes(_ request: RequestState) -> [UInt64] {
            var hash = UInt64(request.terms.cacheSalt.utf8.first ?? 0)
            return request.tokens.map { token in
                hash = (hash ^ UInt64(token)) &* 0x100_0000_01B3 &+ 7
                return hash
            }
        }
        func compute(_ index: Int, _ count: Int) {
            let cached = memory.prefixes.rowCount
            let start = requests[index].computedCount
            memory.extend(&requests[index], by: count)
            if memory.prefixes.rowCount < cached { evictions += 1 }
            guard let slot = requests[index].slot else { return }
            let hashes = hashes(requests[index])
            for position in start..<start + count { written[Int(memory.table.rows(slot)[position])] = hashes[position] }
        }
        func check(_ index: Int) {
            guard let slot = requests[index].slot else { return }
            let rows = memory.table.rows(slot)
            for (position, hash) in hashes(requests[index]).prefix(requests[index].computedCount).enumerated()
            where written[Int(rows[position])] != hash {
                Issue.record("position \(position) has another context's row")
                return
            }
        }
        func prompt() -> [Int32] {
            // A part of what came before, and something new.
            var tokens = prompts.randomElement(using: &generator) ?? []
            tokens = Array(tokens.prefix(generator.below(tokens.count + 1)))
            for _ in 0...generator.below(40) where tokens.count < 150 { tokens.append(Int32(generator.below(3))) }
            if prompts.count < 20 { prompts.append(tokens) } else { prompts[generator.below(20)] = tokens }
            return tokens
        }

        for operation in 0..<1_000_000 {
            let index = requests.isEmpty ? 0 : generator.below(requests.count)
            switch generator.below(12) {
            case 0 where requests.count < 8:
                var request = RequestState(
                    id: RequestID(nextID), prompt: prompt(), limits: .init(maxTokens: 1000),
                    terms: .init(cacheSalt: generator.below(4) == 0 ? "b" : "a"))
                nextID += 1
                if !memory.admit(&request) { Issue.record("a slot is free") }
                hits += request.cachedCount
                requests.append(request)
                check(requests.count - 1)
            case 1 where !requests.isEmpty:
                check(index)
                memory.release(&requests[index], keeps: generator.below(5) > 0)
                requests.remove(at: index)
            case 2 where !requests.isEmpty && requests[index].uncomputedCount == 1:
                // A draft of which a part is right.
                requests[index].propose((0..<generator.below(5)).map { _ in Int32(generator.below(3)) })
                requests[index].truncateDraft(
                    to: max(0, min(memory.availableCount, 290 - requests[index].knownCount) - 1))
                guard memory.availableCount > requests[index].draftCount, requests[index].tokens.count < 290 else {
                    requests[index].truncateDraft(to: 0)
                    break
                }
                compute(index, 1 + requests[index].draftCount)
                repeat {
                    let position = requests[index].knownCount
                    let token = Int32(generator.below(3))
                    let wasRight = requests[index].isDrafted(token, at: position)
                    _ = requests[index].append(token)
                    if !wasRight { break }
                } while true
                memory.rejectDraft(of: &requests[index])
            case 3 where generator.below(5000) == 0: memory.clearCache()
            case 4 where !requests.isEmpty:
                var moves: [RowCopy] = []
                memory.align(&requests[index], copies: &moves)
                for move in moves { written[Int(move.to)] = written[Int(move.from)] }
                copies += moves.count
                check(index)
            default:
                guard !requests.isEmpty, requests[index].knownCount < 290 else { break }
                if requests[index].uncomputedCount == 0 { _ = requests[index].append(Int32(generator.below(3))) }
                memory.reusePrefix(&requests[index])
                let most = min(requests[index].uncomputedCount, memory.availableCount)
                if most > 0 { compute(index, 1 + generator.below(most)) }
            }
            if operation % 400 == 0 {
                let violations = memory.checkInvariants(requests)
                if !violations.isEmpty {
                    Issue.record("operation \(operation): \(violations)")
                    return
                }
            }
        }
        #expect(hits > 100_000 && evictions > 100)
        #expect(rowCount < 1000 || copies > 1000)
        for index in requests.indices { memory.release(&requests[index], keeps: true) }
        #expect(memory.usedCount == 0)
        memory.clearCache()
        #expect(memory.pool.freeCount == rowCount)
        #expect(memory.prefixes.nodeCount == 0)
        #expect(memory.checkInvariants([]) == [])
    }
}
