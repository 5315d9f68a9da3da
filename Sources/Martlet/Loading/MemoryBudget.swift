import Foundation
import MartletCheckpoints
import MartletGraph

/// How many tokens the KV cache holds, and how long a request may get.
struct MemoryBudget {
    let kvRows: Int
    let contextLength: Int

    /// Share of the machine's memory that the KV cache may take where nothing is said. Pages are touched only when used.
    private static let defaultShare = 4

    /// Fewer rows would be less than one page.
    private static let fewestRows = KVCacheManager.pageSize

    /// Rows have numbers of 32 bits, and the pool has whole pages.
    private static let mostRows = Int(Int32.max) / KVCacheManager.pageSize * KVCacheManager.pageSize

    /// Bytes of a row beside its K and V: how many own it, its number in the table for embeddings, its share of what is
    /// known of its page.
    private static let bookkeeping = 2 * MemoryLayout<Int32>.size + 1

    /// - Throws: `invalidParameter` for less memory than a page takes, and for more tokens than the machine can hold.
    init(_ model: ModelConfiguration, _ options: LoadOptions, kvType: KVType) throws(EngineError) {
        let wanted = min(options.contextLength ?? model.maxPositionEmbeddings, model.maxPositionEmbeddings)
        // Less than 2^40: the factors are checked where the file is read.
        let perToken = model.layerCount * model.kvHeadCount * kvType.rowBytes(headDim: model.headDim)
        let machine = Int(clamping: ProcessInfo.processInfo.physicalMemory)
        func rows(in bytes: Int, perToken: Int) -> Int {
            Self.rows(in: bytes, perToken: perToken, requests: options.maxRequests, contextLength: wanted)
        }
        let affordable: Int
        if let tokens = options.kvCacheTokens {
            let most = rows(in: machine, perToken: perToken)
            guard tokens <= most else { throw .invalid("kvCacheTokens", "is \(tokens); this machine can hold \(most)") }
            affordable = tokens
        } else if let bytes = options.kvCacheMemory {
            // That many bytes of K and V, however few they are of a token. Their bookkeeping has to fit the machine.
            affordable = min(bytes / max(perToken, 1), rows(in: machine, perToken: 0))
        } else {
            affordable = rows(in: machine / Self.defaultShare, perToken: perToken)
        }
        guard affordable >= Self.fewestRows else {
            throw .invalid(
                options.kvCacheTokens == nil ? "kvCacheMemory" : "kvCacheTokens",
                "has room for \(affordable) tokens; \(Self.fewestRows) of them (\(Self.fewestRows * perToken) bytes) is the least"
            )
        }
        let useful = wanted.multipliedReportingOverflow(by: options.maxRequests)
        kvRows = options.kvCacheTokens ?? min(affordable, useful.overflow ? affordable : useful.partialValue)
        contextLength = min(wanted, kvRows)
    }

    /// Rows that fit with what is kept of them: each request has a table with an entry for every token that it may have.
    private static func rows(in bytes: Int, perToken: Int, requests: Int, contextLength: Int) -> Int {
        let perRow = perToken + bookkeeping
        let perPosition = Int(UInt32(clamping: requests)) * MemoryLayout<Int32>.size
        var rows = bytes / (perRow + perPosition)
        // Tables are no longer than the context, however many rows there are.
        if rows > contextLength { rows = (bytes - contextLength * perPosition) / perRow }
        return min(rows, mostRows)
    }
}
