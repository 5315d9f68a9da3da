import CKernels
import MartletGraph

/// What a step's kernel calls need beyond the plan: token metadata, and where each request's context lies.
///
/// Prepared once per step by the engine's thread. Storage grows to the largest step seen and then stays.
final class StepContext {
    /// A request's share of the step, with its context cut into pages.
    struct Request {
        var queryStart: Int
        var queryCount: Int
        var contextLength: Int
        var rows: UnsafePointer<Int32>
        /// Page of the pool that holds the positions 64 i …, or -1 where they are scattered and must be gathered.
        var pages: UnsafeMutablePointer<Int32>
        /// Chunks of 512 positions in the context.
        var chunkCount: Int
        /// Work items of the first attention phase, per KV head.
        var itemsPerHead: Int
        /// True if chunks are separate items whose partial results are merged in a second phase (flash decoding).
        var isSplit: Bool
        /// Where its partial results start, in queries × chunks.
        var firstPartial: Int
    }

    private(set) var tokens = 0
    private(set) var sampled = 0
    private(set) var requests: UnsafeMutablePointer<Request>
    private(set) var requestCount = 0
    /// The same for runs of tokens that attend to each other (`AttentionScope.window`).
    private(set) var windows: UnsafeMutablePointer<Request>
    private(set) var windowCount = 0
    /// Partial results of split requests, all query heads counted once per chunk: `queries · chunks`.
    private(set) var partialTokens = 0
    var hasSplitRequests: Bool { partialTokens > 0 }

    /// Whether each request's rows are one run.
    var isContiguous: Bool {
        (0..<requestCount).allSatisfy { index in
            let request = requests[index]
            return (0..<request.contextLength).allSatisfy { Int(request.rows[$0]) == Int(request.rows[0]) + $0 }
        }
    }

    private var windowCapacity = 1
    private var pages: UnsafeMutablePointer<Int32>
    private var pageCapacity: Int

    /// Query tokens that one attention item computes: enough to reuse each page from the cache many times, few enough
    /// that prompts split into plenty of items.
    static let queryBlock = 64
    /// Requests with at most this many query tokens split their context; longer ones have items enough without.
    static let splitQueryLimit = 8
    static let chunkPositions = CK_PAGE * CK_CHUNK_PAGES

    init(limits: StepLimits) {
        requests = .allocate(capacity: limits.requests)
        windows = .allocate(capacity: windowCapacity)
        pageCapacity = 1024
        pages = .allocate(capacity: pageCapacity)
    }

    deinit {
        requests.deallocate()
        windows.deallocate()
        pages.deallocate()
    }

    func prepare(_ input: StepInput) {
        tokens = input.tokenCount
        sampled = input.sampledCount
        requestCount = input.requestCount
        windowCount = input.windows.count
        partialTokens = 0
        reserve(input)
        var nextPage = 0
        for index in 0..<requestCount { requests[index] = request(input.requests[index], &nextPage) }
        for index in 0..<windowCount { windows[index] = request(input.windows[index], &nextPage) }
    }

    private func request(_ source: StepInput.Request, _ nextPage: inout Int) -> Request {
        let pageCount = Self.pageCount(source)
        let chunkCount = (source.contextLength + Self.chunkPositions - 1) / Self.chunkPositions
        let isSplit = chunkCount > 1 && source.queryCount <= Self.splitQueryLimit
        let blocks = (source.queryCount + Self.queryBlock - 1) / Self.queryBlock
        for page in 0..<pageCount {
            pages[nextPage &+ page] = Self.alignedPage(source, page)
        }
        defer {
            nextPage += pageCount
            if isSplit { partialTokens += source.queryCount * chunkCount }
        }
        return Request(
            queryStart: source.queryStart, queryCount: source.queryCount, contextLength: source.contextLength,
            rows: source.rows, pages: pages + nextPage, chunkCount: chunkCount,
            itemsPerHead: isSplit ? chunkCount : blocks, isSplit: isSplit, firstPartial: partialTokens)
    }

    private static func pageCount(_ request: StepInput.Request) -> Int {
        (request.contextLength + KVPool.pageRows - 1) / KVPool.pageRows
    }

    private func reserve(_ input: StepInput) {
        if windowCount > windowCapacity {
            windows.deallocate()
            windowCapacity = windowCount
            windows = .allocate(capacity: windowCapacity)
        }
        var needed = 0
        for index in 0..<requestCount { needed += Self.pageCount(input.requests[index]) }
        for index in 0..<windowCount { needed += Self.pageCount(input.windows[index]) }
        guard needed > pageCapacity else { return }
        pages.deallocate()
        pageCapacity = max(needed, 2 * pageCapacity)
        pages = .allocate(capacity: pageCapacity)
    }

    /// The pool page that holds positions 64 i … of a request exactly in place, or -1.
    private static func alignedPage(_ request: StepInput.Request, _ page: Int) -> Int32 {
        let first = page * KVPool.pageRows
        let count = min(KVPool.pageRows, request.contextLength - first)
        let row = request.rows[first]
        guard row % Int32(KVPool.pageRows) == 0 else { return -1 }
        for offset in 1..<max(count, 1) where request.rows[first &+ offset] != row &+ Int32(truncatingIfNeeded: offset)
        {
            return -1
        }
        return row / Int32(KVPool.pageRows)
    }
}
