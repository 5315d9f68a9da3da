import Martlet
import TestSupport
import Testing

@Suite struct KVCacheManagerTests {
    /// Rows for the next `count` positions of a request; expects that there are enough.
    private func extend(_ rows: inout [Int32], by count: Int, from cache: inout KVCacheManager) {
        for _ in 0..<count {
            guard let row = cache.allocate(position: rows.count, after: rows.last) else {
                Issue.record("no row left")
                return
            }
            rows.append(row)
        }
    }

    /// Whether positions `64 * page ..< 64 * (page + 1)` of a request need no gathering.
    private func isKernelReady(_ rows: [Int32], page: Int) -> Bool {
        let range = page * 64..<min((page + 1) * 64, rows.count)
        return range.allSatisfy {
            $0 % 64 == Int(rows[$0]) % 64 && rows[$0] - rows[range.lowerBound] == $0 - range.lowerBound
        }
    }

    @Test func requestsThatGrowInTurnStayAligned() {
        var cache = KVCacheManager(rowCount: 64 * 40)
        var requests = Array(repeating: [Int32](), count: 8)
        for step in 0..<300 {
            extend(&requests[step % 8], by: 1 + step % 7, from: &cache)
        }
        for rows in requests {
            for page in 0...(rows.count - 1) / 64 { #expect(isKernelReady(rows, page: page)) }
        }
        #expect(cache.checkInvariants().isEmpty)
    }

    @Test func noRowIsLostToRounding() {
        // 5 pages and 17 rows more, and 9 requests of which each holds a part of a page.
        var cache = KVCacheManager(rowCount: 64 * 5 + 17)
        var requests = Array(repeating: [Int32](), count: 9)
        for count in 0..<cache.rowCount {
            #expect(cache.freeCount == cache.rowCount - count)
            extend(&requests[count % 9], by: 1, from: &cache)
        }
        let surplus = cache.allocate(position: 0, after: nil)
        #expect(surplus == nil)
        #expect(Set(requests.joined()).count == cache.rowCount)
        #expect(cache.checkInvariants().isEmpty)
    }

    @Test func singleRowsAreTakenOnlyWhenNoPageIsFree() {
        var cache = KVCacheManager(rowCount: 128)
        var first: [Int32] = []
        var second: [Int32] = []
        extend(&first, by: 3, from: &cache)
        extend(&second, by: 3, from: &cache)
        #expect(first[0] / 64 != second[0] / 64)
        var third: [Int32] = []
        extend(&third, by: 20, from: &cache)
        // The owners of both pages can still go on for a while: the third took rows from behind.
        extend(&first, by: 41, from: &cache)
        #expect(isKernelReady(first, page: 0))
        #expect(cache.checkInvariants().isEmpty)
    }

    @Test func aFreedPageIsWholeAgain() {
        var cache = KVCacheManager(rowCount: 64)
        var rows: [Int32] = []
        extend(&rows, by: 64, from: &cache)
        for row in rows.shuffled() { cache.release(row) }
        var next: [Int32] = []
        extend(&next, by: 64, from: &cache)
        #expect(isKernelReady(next, page: 0))
    }

    @Test func aSharedRowIsFreeAfterItsLastOwner() throws {
        var cache = KVCacheManager(rowCount: 64)
        let first = cache.allocate(position: 0, after: nil)
        let row = try #require(first)
        cache.retain(row)
        cache.release(row)
        #expect(cache.usedCount == 1)
        cache.release(row)
        #expect(cache.usedCount == 0)
        #expect(cache.checkInvariants().isEmpty)
    }

    @Test func bulkAllocationIsAllOrNothing() {
        var cache = KVCacheManager(rowCount: 100)
        let table = UnsafeMutablePointer<Int32>.allocate(capacity: 200)
        defer { table.deallocate() }
        let granted = cache.allocate(0..<60, in: table)
        let tooMany = cache.allocate(60..<101, in: table)
        #expect(granted && !tooMany)
        #expect(cache.usedCount == 60)
        let rest = cache.allocate(60..<100, in: table)
        #expect(rest)
        #expect(cache.freeCount == 0)
    }

    /// A model of the pool that is a plain set of owners per row, compared after every operation.
    @Test(arguments: [1, 63, 64, 65, 1000, 4096])
    func randomOperations(rowCount: Int) {
        var generator = TestGenerator(seed: UInt64(rowCount))
        var cache = KVCacheManager(rowCount: rowCount)
        var requests: [[Int32]] = []
        var owners = Array(repeating: 0, count: rowCount)
        for operation in 0..<20_000 {
            switch generator.below(10) {
            case 0:
                requests.append([])
            case 1 where !requests.isEmpty:
                // Frees a request, its rows in any order.
                for row in requests.remove(at: generator.below(requests.count)).shuffled(using: &generator) {
                    owners[Int(row)] -= 1
                    cache.release(row)
                }
            case 2 where !requests.isEmpty && requests.count < 40:
                // A new request shares the prefix of another.
                let shared = requests[generator.below(requests.count)]
                let prefix = Array(shared.prefix(generator.below(shared.count + 1)))
                for row in prefix {
                    owners[Int(row)] += 1
                    cache.retain(row)
                }
                requests.append(prefix)
            default:
                guard !requests.isEmpty else { continue }
                let index = generator.below(requests.count)
                for _ in 0..<1 + generator.below(20) {
                    let row = cache.allocate(position: requests[index].count, after: requests[index].last)
                    guard let row else {
                        if owners.contains(0) { Issue.record("a row is free, but none was given") }
                        break
                    }
                    if owners[Int(row)] != 0 { Issue.record("row \(row) was given twice") }
                    owners[Int(row)] = 1
                    requests[index].append(row)
                }
            }
            if operation % 500 == 0 {
                #expect(cache.checkInvariants() == [])
                #expect(cache.usedCount == owners.count { $0 > 0 })
            }
        }
        for row in requests.joined() { cache.release(row) }
        #expect(cache.usedCount == 0)
        #expect(cache.checkInvariants() == [])
    }
}
