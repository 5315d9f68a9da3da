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
    private static let fewestRows = 64

    /// - Throws: `invalidParameter` for less memory than a page takes.
    init(_ model: ModelConfiguration, _ options: LoadOptions, kvType: KVType) throws(EngineError) {
        let wanted = min(options.contextLength ?? model.maxPositionEmbeddings, model.maxPositionEmbeddings)
        let perToken = model.layerCount * model.kvHeadCount * kvType.rowBytes(headDim: model.headDim)
        let bytes = options.kvCacheMemory ?? Int(clamping: ProcessInfo.processInfo.physicalMemory) / Self.defaultShare
        let affordable = options.kvCacheTokens ?? bytes / max(perToken, 1)
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
}
