import Foundation
import MartletCheckpoints
import MartletGraph

/// How many tokens the KV cache holds, and how long a request may get.
struct MemoryBudget {
    let kvRows: Int
    let contextLength: Int

    /// Share of the machine's memory that the KV cache may take where nothing is said. Pages are touched only when used.
    private static let defaultShare = 4

    init(_ model: ModelConfiguration, _ options: LoadOptions, kvType: KVType) {
        let wanted = min(options.contextLength ?? model.maxPositionEmbeddings, model.maxPositionEmbeddings)
        let perToken = model.layerCount * model.kvHeadCount * kvType.rowBytes(headDim: model.headDim)
        let bytes = options.kvCacheMemory ?? Int(clamping: ProcessInfo.processInfo.physicalMemory) / Self.defaultShare
        let affordable = max(bytes / max(perToken, 1), 64)
        let useful = wanted.multipliedReportingOverflow(by: options.maxRequests)
        kvRows = min(affordable, useful.overflow ? affordable : useful.partialValue)
        contextLength = min(wanted, kvRows)
    }
}
