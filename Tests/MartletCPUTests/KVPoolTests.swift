import Glibc
import MartletGraph
import Testing

@testable import MartletCPU

@Suite struct KVPoolTests {
    /// Three chunks of 512 rows; the last is not full.
    private func pool() throws -> KVPool {
        try KVPool(layers: [KVLayer(layer: 0, kvHeads: 2, headDim: 64)], rows: 1100, type: .f16)
    }

    @Test func memoryIsClearedHalfAChunkAhead() throws {
        let pool = try pool()
        let steps: [([Int32], Int)] = [([0, 255], 1), ([256, 3], 2), ([100], 2), ([767], 2), ([768], 3), ([1099], 3)]
        for (rows, chunks) in steps {
            rows.withUnsafeBufferPointer { pool.clearMemory(behind: $0) }
            #expect(pool.clearedChunks == chunks, "\(rows)")
        }
    }

    @Test func whatIsInMemoryStays() throws {
        let memory = try AlignedMemory(byteCount: 5 << 20)
        let bytes = UnsafeMutableRawBufferPointer(start: memory.base, count: memory.byteCount)
        bytes[1_000_000] = 7
        bytes[5_242_879] = 9
        let isKnown = memory.populate(1_000_001..<memory.byteCount)
        var residency = [UInt8](repeating: 0, count: memory.byteCount / 4096)
        #expect(mincore(memory.base, memory.byteCount, &residency) == 0)
        if isKnown { #expect(residency.allSatisfy { $0 & 1 == 1 }) }
        #expect(bytes[1_000_000] == 7 && bytes[5_242_879] == 9 && bytes[3_000_000] == 0)
    }
}
