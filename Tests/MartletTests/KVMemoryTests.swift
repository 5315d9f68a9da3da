import Martlet
import TestSupport
import Testing

/// What token-level rows save: the same trace with three ways to hand out memory (docs/ARCHITECTURE.md has the table).
@Suite struct KVMemoryTests {
    struct Peaks: Equatable {
        /// Token by token, as Martlet does.
        var rows = 0
        /// Pages of 16 tokens (PagedAttention).
        var pages16 = 0
        /// One run per request, as long as the request may get.
        var requestLength = 0
        /// One run per request, as long as any request may get.
        var longestLength = 0
    }

    /// 64 requests with prompts of 32 to 512 tokens and answers of 16 to 256 arrive together; as many as fit run at once.
    static func peaks(maxRequests: Int) throws -> Peaks {
        var generator = TestGenerator(seed: 64)
        let limits = SchedulerLimits(
            maxBatchedTokens: 512, maxRequests: maxRequests, maxQueuedRequests: 64, contextLength: 512 + 256)
        var scheduler = Scheduler(rowCount: 64 * 768, limits: limits)
        for id in 0..<64 {
            let prompt = (0..<32 + generator.below(481)).map { _ in Int32(generator.below(49_000)) }
            try scheduler.add(
                RequestState(
                    id: RequestID(UInt64(id)), prompt: prompt, limits: .init(maxTokens: 16 + generator.below(241))))
        }
        var peaks = Peaks()
        while scheduler.hasWork {
            let output = scheduler.schedule()
            var now = Peaks(rows: scheduler.memory.usedCount)
            for request in scheduler.running {
                now.pages16 += (request.computedCount + 15) / 16 * 16
                now.requestLength += request.promptCount + request.limits.maxTokens
                now.longestLength += 512 + 256
            }
            peaks.rows = max(peaks.rows, now.rows)
            peaks.pages16 = max(peaks.pages16, now.pages16)
            peaks.requestLength = max(peaks.requestLength, now.requestLength)
            peaks.longestLength = max(peaks.longestLength, now.longestLength)
            _ = scheduler.update(output, DrawnTokens(Array(repeating: 7, count: output.sampledCount)))
        }
        #expect(scheduler.counters.peakRows == peaks.rows)
        return peaks
    }

    @Test(arguments: [
        (16, Peaks(rows: 6578, pages16: 6720, requestLength: 8006, longestLength: 12288)),
        (64, Peaks(rows: 17819, pages16: 18224, requestLength: 25078, longestLength: 49152)),
    ])
    func tokenRowsTakeTheLeast(maxRequests: Int, recorded: Peaks) throws {
        let peaks = try Self.peaks(maxRequests: maxRequests)
        #expect(peaks == recorded)
        #expect(peaks.rows < peaks.pages16)
        #expect(peaks.pages16 < peaks.requestLength)
        // The saving that others report over reserving for the longest request.
        #expect(Double(peaks.rows) < 0.7 * Double(peaks.longestLength))
    }
}
