import CKernels
import Glibc
import MartletGraph

// Attention as it is before token-level KV: plain (Vaswani et al. 2017), tiled (FlashAttention, Dao et al. 2022) and split
// (Flash-Decoding, Dao et al. 2023), over contiguous rows that are repeated for every query head. For the optimization
// ladder only (docs/LADDER.md). A work item belongs to one query head, so all workers share even one short request.
extension Walk {
    /// Writes K and V of each token into the rows of every query head that reads them.
    func storeRows(_ layer: KVRowCache.Layer, _ k: Rows, _ v: Rows) {
        forEachRow(k) { token in
            let row = Int(rows[token])
            for head in 0..<layer.kvHeads {
                let first = head &* layer.group
                let (key, value) = (layer.key(row, head: first), layer.value(row, head: first))
                let column = head &* layer.headDim
                ck_run_row_store(kernels, layer.type, k.row(token) + column, Int64(layer.headDim), key)
                ck_run_row_store(kernels, layer.type, v.row(token) + column, Int64(layer.headDim), value)
                for copy in first &+ 1..<first &+ layer.group {
                    memcpy(layer.key(row, head: copy), key, layer.rowBytes)
                    memcpy(layer.value(row, head: copy), value, layer.rowBytes)
                }
            }
        }
    }

    func rowAttention(_ call: RowAttentionCall, _ worker: Int) {
        // A head of a row in another format may be less than a group: floats take the query's place first.
        let target = call.out.format == .f32 ? call.out : call.query
        switch call.method {
        case .plain:
            forEachHead(call, items: { _ in 1 }) { request, head, _ in
                plainRows(call, request, head: head, target, worker)
            }
        case .tiled:
            forEachHead(call, items: { Self.blocks($0) }) { request, head, block in
                tiledBlock(call, request, head: head, block: block, target, worker)
            }
        case .splitTiled, .paged:
            forEachHead(call, items: { $0.isSplit ? $0.chunkCount : Self.blocks($0) }) { request, head, item in
                if request.pointee.isSplit {
                    let begin = item &* StepContext.chunkPositions
                    let end = min(begin &+ StepContext.chunkPositions, request.pointee.contextLength)
                    attend(
                        call, request, head: head, queries: 0..<request.pointee.queryCount, positions: begin..<end,
                        states: partials + firstPartial(call, request, head: head, chunk: item))
                } else {
                    tiledBlock(call, request, head: head, block: item, target, worker)
                }
            }
            if hasSplitRequests {
                barrier()
                forEachHead(call, items: { $0.isSplit ? 1 : 0 }) { request, head, _ in
                    mergeChunks(call, request, head: head, target, worker)
                }
            }
        }
        if call.out.format != .f32 {
            barrier()
            forEachRow(call.out) { row in store(call.query.row(row), row: row, of: call.out) }
        }
    }

    private static func blocks(_ request: StepContext.Request) -> Int {
        (request.queryCount &+ StepContext.queryBlock &- 1) / StepContext.queryBlock
    }

    /// Hands out (request, query head, item), the last items of a request first: under a causal mask they are the longest.
    @inline(__always)
    private func forEachHead(
        _ call: RowAttentionCall, items: (StepContext.Request) -> Int,
        _ body: (UnsafeMutablePointer<StepContext.Request>, Int, Int) -> Void
    ) {
        let heads = call.layer.heads
        var total = 0
        for index in 0..<requestCount { total &+= items(requests[index]) &* heads }
        forEachItem(of: total) { range in
            for item in range {
                var (request, rest) = (requests, item)
                while rest >= items(request.pointee) &* heads {
                    rest &-= items(request.pointee) &* heads
                    request += 1
                }
                body(request, rest % heads, items(request.pointee) &- 1 &- rest / heads)
            }
        }
    }

    /// All query tokens of a request over its whole context, through scores in memory.
    private func plainRows(
        _ call: RowAttentionCall, _ request: UnsafeMutablePointer<StepContext.Request>, head: Int, _ target: Rows,
        _ worker: Int
    ) {
        let states = call.scratch.states(worker)
        attend(
            call, request, head: head, queries: 0..<request.pointee.queryCount,
            positions: 0..<request.pointee.contextLength, states: states, scores: call.scratch.scores(worker))
        finish(call, request, head: head, queries: 0..<request.pointee.queryCount, states, target)
    }

    /// A block of query tokens over its whole context, tile by tile.
    private func tiledBlock(
        _ call: RowAttentionCall, _ request: UnsafeMutablePointer<StepContext.Request>, head: Int, block: Int,
        _ target: Rows, _ worker: Int
    ) {
        let begin = block &* StepContext.queryBlock
        let queries = begin..<min(begin &+ StepContext.queryBlock, request.pointee.queryCount)
        let before = request.pointee.contextLength &- request.pointee.queryCount
        let firstVisible = call.window > 0 ? max(0, before &+ begin &- call.window &+ 1) : 0
        attend(
            call, request, head: head, queries: queries, positions: firstVisible..<before &+ queries.upperBound,
            states: scratch[worker].states)
        finish(call, request, head: head, queries: queries, scratch[worker].states, target)
    }

    /// Where a split request's partial results of one chunk and head lie, `[queryCount][16 + valueStride]`.
    private func firstPartial(
        _ call: RowAttentionCall, _ request: UnsafeMutablePointer<StepContext.Request>, head: Int, chunk: Int
    ) -> Int {
        let item = chunk &* call.layer.heads &+ head
        let queries = request.pointee.firstPartial &* call.layer.heads &+ item &* request.pointee.queryCount
        return queries &* stateFloats(call)
    }

    /// Folds a split request's chunks, in order, for one head.
    private func mergeChunks(
        _ call: RowAttentionCall, _ request: UnsafeMutablePointer<StepContext.Request>, head: Int, _ target: Rows,
        _ worker: Int
    ) {
        let (states, stateFloats) = (scratch[worker].states, stateFloats(call))
        for query in 0..<request.pointee.queryCount {
            let state = states + query &* stateFloats
            memset(state, 0, stateFloats &* MemoryLayout<Float>.size)
            state[0] = -.infinity
            for chunk in 0..<request.pointee.chunkCount {
                let partial = partials + firstPartial(call, request, head: head, chunk: chunk)
                kernels.pointee.attention_merge(state, partial + query &* stateFloats, Int64(stateFloats &- 16))
            }
        }
        finish(call, request, head: head, queries: 0..<request.pointee.queryCount, states, target)
    }

    /// Some query tokens of one head over some positions: with `scores` the plain method, without the tiled one.
    private func attend(
        _ call: RowAttentionCall, _ request: UnsafeMutablePointer<StepContext.Request>, head: Int, queries: Range<Int>,
        positions: Range<Int>, states: UnsafeMutablePointer<Float>, scores: UnsafeMutablePointer<Float>? = nil
    ) {
        let (layer, request) = (call.layer, request.pointee)
        let first = Int(request.rows[0])
        var job = ck_row_attention(
            queries: call.query.row(request.queryStart &+ queries.lowerBound) + head &* layer.headDim,
            query_stride: Int64(call.query.stride), query_tokens: Int64(queries.count), head_dim: Int64(layer.headDim),
            first_query: Int64(request.contextLength &- request.queryCount &+ queries.lowerBound),
            keys: layer.key(first, head: head), values: layer.value(first, head: head),
            begin: Int64(positions.lowerBound), end: Int64(positions.upperBound), window: Int64(call.window),
            scale: call.scale, states: states, scores: scores, score_stride: Int64(call.scratch.scoreStride))
        if scores == nil {
            ck_run_tiled_attention(kernels, layer.type, &job)
        } else {
            ck_run_plain_attention(kernels, layer.type, &job)
        }
    }

    /// Divides each query's vector by its sum, into the head's columns.
    private func finish(
        _ call: RowAttentionCall, _ request: UnsafeMutablePointer<StepContext.Request>, head: Int, queries: Range<Int>,
        _ states: UnsafeMutablePointer<Float>, _ target: Rows
    ) {
        let headDim = call.layer.headDim
        for (index, query) in queries.enumerated() {
            kernels.pointee.attention_finish(
                states + index &* stateFloats(call), Int64(headDim),
                target.row(request.pointee.queryStart &+ query) + head &* headDim)
        }
    }

    private func stateFloats(_ call: RowAttentionCall) -> Int { 16 &+ KVPool.valueStride(call.layer.headDim) }
}
