import CKernels
import MartletGraph

/// K and V of every token in the cache, all layers: allocated once, addressed by row.
///
/// For each layer and KV head the pool is an array of pages of 64 rows, K with positions across SIMD lanes and V behind
/// it, so that a request whose rows are one aligned run is read as one sequential stream (shared/reference: separate K
/// and V arrays reach half of the bandwidth).
final class KVPool {
    /// One layer's pages: plain numbers for the hot loop.
    struct Layer {
        var base: UnsafeMutableRawPointer
        var kvHeads: Int
        var headDim: Int
        var type: ck_kv_type
        var pageCount: Int
        var pageBytes: Int

        /// Page `page` of KV head `head`.
        @inline(__always)
        func page(_ page: Int, head: Int) -> UnsafeMutableRawPointer {
            base + (head &* pageCount &+ page) &* pageBytes
        }
    }

    static let pageRows = CK_PAGE

    let rows: Int
    let layers: [Layer]
    private let memory: AlignedMemory

    var byteCount: Int { memory.byteCount }

    init(layers shapes: [KVLayer], rows: Int, type: KVType) throws(CPUBackendError) {
        let pageCount = (rows + Self.pageRows - 1) / Self.pageRows
        self.rows = pageCount * Self.pageRows
        var layouts: [(offset: Int, pageBytes: Int)] = []
        var total = 0
        for shape in shapes {
            guard shape.headDim <= CK_MAX_HEAD_DIM else { throw .unsupportedHeadDimension(shape.headDim) }
            let pageBytes = Self.pageBytes(headDim: shape.headDim, type)
            layouts.append((total, pageBytes))
            total += shape.kvHeads * pageCount * pageBytes
        }
        let memory = try AlignedMemory(byteCount: total)
        self.memory = memory
        layers = zip(shapes, layouts).map { shape, layout in
            Layer(
                base: memory.base + layout.offset, kvHeads: shape.kvHeads, headDim: shape.headDim,
                type: type.kernelType, pageCount: pageCount, pageBytes: layout.pageBytes)
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
