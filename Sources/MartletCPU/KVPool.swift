import CKernels
import Dispatch
import MartletGraph

/// K and V of every token in the cache, all layers: allocated once, addressed by row.
///
/// Pages hold 64 rows of one layer and KV head, K with positions across SIMD lanes and V behind it, and the pages of a head
/// that an attention chunk walks lie side by side: a request whose rows are one aligned run is read as one sequential
/// stream per chunk. The heads of a chunk are neighbours, and so are its layers: a short context touches few (huge) pages
/// of memory, which the system has to clear before the first token. Further chunks it clears beside the steps, before they are
/// needed.
final class KVPool {
    /// One layer's pages: plain numbers for the hot loop.
    struct Layer {
        var base: UnsafeMutableRawPointer
        var kvHeads: Int
        var headDim: Int
        var type: ck_kv_type
        var pageBytes: Int
        /// From one chunk of this layer to its next: all layers' pages of a chunk.
        var chunkBytes: Int

        /// Page `page` of KV head `head`.
        @inline(__always)
        func page(_ page: Int, head: Int) -> UnsafeMutableRawPointer {
            let (chunk, inChunk) = (page / KVPool.chunkPages, page % KVPool.chunkPages)
            return base + (chunk &* chunkBytes &+ (head &* KVPool.chunkPages &+ inChunk) &* pageBytes)
        }
    }

    static let pageRows = CK_PAGE
    /// Pages of a head that lie side by side: an attention chunk.
    static let chunkPages = CK_CHUNK_PAGES

    let rows: Int
    let layers: [Layer]
    private let memory: AlignedMemory
    private let chunkBytes: Int
    /// Leading chunks whose memory is there, or will be soon. The first waits for the first step: its size is part of loading.
    private(set) var clearedChunks = 1
    private let clearing = DispatchQueue(label: "martlet-kv-memory")

    var byteCount: Int { memory.byteCount }
    private static let chunkRows = pageRows * chunkPages

    init(layers shapes: [KVLayer], rows: Int, type: KVType) throws(CPUBackendError) {
        let pageCount = (rows + Self.pageRows - 1) / Self.pageRows
        self.rows = pageCount * Self.pageRows
        let chunkCount = (pageCount + Self.chunkPages - 1) / Self.chunkPages
        var layouts: [(offset: Int, pageBytes: Int)] = []
        var chunkBytes = 0
        for shape in shapes {
            guard shape.headDim <= CK_MAX_HEAD_DIM else { throw .unsupportedHeadDimension(shape.headDim) }
            let pageBytes = Self.pageBytes(headDim: shape.headDim, type)
            layouts.append((chunkBytes, pageBytes))
            chunkBytes += shape.kvHeads * Self.chunkPages * pageBytes
        }
        let memory = try AlignedMemory(byteCount: chunkCount * chunkBytes)
        self.memory = memory
        self.chunkBytes = chunkBytes
        layers = zip(shapes, layouts).map { shape, layout in
            Layer(
                base: memory.base + layout.offset, kvHeads: shape.kvHeads, headDim: shape.headDim,
                type: type.kernelType, pageBytes: layout.pageBytes, chunkBytes: chunkBytes)
        }
    }

    /// Has the memory behind the rows that a step writes cleared, once they reach the middle of the last chunk that is there. Where
    /// a step comes first it waits for all of it: on a virtual machine, whose host may have to clear it as well, we saw 30 ms for
    /// 12 MB every 512 tokens.
    func clearMemory(behind rows: UnsafeBufferPointer<Int32>) {
        let end = (Int(rows.max() ?? 0) + Self.chunkRows / 2) / Self.chunkRows + 1
        guard end > clearedChunks, clearedChunks * chunkBytes < byteCount else { return }
        let range = clearedChunks * chunkBytes..<min(end * chunkBytes, byteCount)
        clearedChunks = end
        clearing.async { [memory] in memory.populate(range) }
    }

    /// Copies rows in all layers, one after the other.
    func copy(_ copies: [RowCopy], _ kernels: UnsafePointer<ck_kernels>) {
        for copy in copies {
            let (from, to) = (Int(copy.from), Int(copy.to))
            for layer in layers {
                for head in 0..<layer.kvHeads {
                    ck_run_kv_copy(
                        kernels, layer.type, layer.page(from / Self.pageRows, head: head), Int64(from % Self.pageRows),
                        layer.page(to / Self.pageRows, head: head), Int64(to % Self.pageRows), Int64(layer.headDim))
                }
            }
        }
    }

    static func pageBytes(headDim: Int, _ type: KVType) -> Int {
        Int(ck_kv_page_bytes(type.kernelType, Int64(headDim)))
    }

    /// Elements from one V row to the next.
    static func valueStride(_ headDim: Int) -> Int { (headDim + 15) / 16 * 16 }
}

extension KVType {
    fileprivate var kernelType: ck_kv_type {
        switch self {
        case .f16: CK_KV_F16
        case .bf16: CK_KV_BF16
        case .int8: CK_KV_INT8
        case .f32: CK_KV_F32
        }
    }
}
