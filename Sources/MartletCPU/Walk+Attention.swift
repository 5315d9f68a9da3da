import CKernels
import Glibc
import MartletGraph

// FlashAttention-style attention over the token table (Dao 2023, "FlashAttention-2"; Dao et al. 2023, "Flash-Decoding").
//
// A request's context is walked in chunks of 512 positions cut at multiples of 512. Each chunk yields a partial result
// (maximum, sum, weighted values) that is folded into the running state in order. Whether one worker walks all chunks
// or each chunk is an item of its own, the same partial results are folded in the same order: the bits are the same.
extension Walk {
    func attention(_ call: AttentionCall, _ worker: Int) {
        // Quantizing a row needs whole groups; heads that don't fill them leave floats in the query's place first.
        let storesDirectly = call.out.format == .f32 || call.group &* call.layer.headDim % CK_GROUP == 0
        let target = storesDirectly ? call.out : call.query
        forEachAttentionItem(call, splitOnly: false) { request, head, item in
            if request.pointee.isSplit {
                splitChunk(call, request, head: head, chunk: item, worker)
            } else {
                queryBlock(call, request, head: head, block: item, target, worker)
            }
        }
        if hasSplitRequests {
            barrier()
            forEachAttentionItem(call, splitOnly: true) { request, head, _ in
                mergeChunks(call, request, head: head, target, worker)
            }
        }
        if !storesDirectly {
            barrier()
            forEachRow(call.out) { row in store(call.query.row(row), row: row, of: call.out) }
        }
    }

    /// Hands out (request, KV head, item), the last items of a request first: under a causal mask they are the longest.
    @inline(__always)
    private func forEachAttentionItem(
        _ call: AttentionCall, splitOnly: Bool,
        _ body: (UnsafeMutablePointer<StepContext.Request>, Int, Int) -> Void
    ) {
        let kvHeads = call.layer.kvHeads
        let (requests, requestCount) =
            call.scope == .window ? (windows, windowCount) : (self.requests, self.requestCount)
        func items(_ request: UnsafeMutablePointer<StepContext.Request>) -> Int {
            splitOnly ? (request.pointee.isSplit ? 1 : 0) : request.pointee.itemsPerHead
        }
        var total = 0
        for index in 0..<requestCount { total &+= items(requests + index) &* kvHeads }
        var current = 0
        var first = 0
        forEachItem(of: total) { range in
            for item in range {
                // Items come in ascending order, so the request is found by walking on from the last one.
                while item >= first &+ items(requests + current) &* kvHeads {
                    first &+= items(requests + current) &* kvHeads
                    current &+= 1
                }
                let local = item &- first
                let perHead = items(requests + current)
                body(requests + current, local % kvHeads, perHead &- 1 &- local / kvHeads)
            }
        }
    }

    /// A block of query tokens over all chunks of its context.
    private func queryBlock(
        _ call: AttentionCall, _ request: UnsafeMutablePointer<StepContext.Request>, head: Int, block: Int,
        _ target: Rows, _ worker: Int
    ) {
        let begin = block &* StepContext.queryBlock
        let tokens = min(StepContext.queryBlock, request.pointee.queryCount &- begin)
        let stateFloats = 16 &+ KVPool.valueStride(call.layer.headDim)
        let states = scratch[worker].states
        let partial = scratch[worker].partials
        for query in 0..<tokens &* call.group {
            memset(states + query &* stateFloats, 0, stateFloats &* MemoryLayout<Float>.size)
            states[query &* stateFloats] = -.infinity
        }
        let firstPosition = request.pointee.contextLength &- request.pointee.queryCount &+ begin
        let lastVisible = call.scope == .past ? firstPosition &+ tokens &- 1 : request.pointee.contextLength &- 1
        let lastChunk = lastVisible / StepContext.chunkPositions
        let firstVisible = call.window > 0 ? max(0, firstPosition &- call.window &+ 1) : 0
        for chunk in (firstVisible / StepContext.chunkPositions)...lastChunk {
            attend(call, request, head: head, queries: begin..<begin &+ tokens, chunk: chunk, partial, worker)
            for query in 0..<tokens &* call.group {
                kernels.pointee.attention_merge(
                    states + query &* stateFloats, partial + query &* stateFloats,
                    Int64(stateFloats &- 16))
            }
        }
        for token in 0..<tokens {
            finish(
                call, head: head, states + token &* call.group &* stateFloats, stateFloats: stateFloats,
                token: request.pointee.queryStart &+ begin &+ token, target, worker)
        }
    }

    /// All query tokens of a request over one chunk, into the shared partial results.
    private func splitChunk(
        _ call: AttentionCall, _ request: UnsafeMutablePointer<StepContext.Request>, head: Int, chunk: Int,
        _ worker: Int
    ) {
        attend(
            call, request, head: head, queries: 0..<request.pointee.queryCount, chunk: chunk,
            partialResults(call, request, head: head, chunk: chunk), worker)
    }

    /// Where a split request's partial results of one chunk and KV head lie: `[queryCount · group][16 + valueStride]`.
    private func partialResults(
        _ call: AttentionCall, _ request: UnsafeMutablePointer<StepContext.Request>, head: Int, chunk: Int
    ) -> UnsafeMutablePointer<Float> {
        let stateFloats = 16 &+ KVPool.valueStride(call.layer.headDim)
        let queries = request.pointee.queryCount
        let before =
            request.pointee.firstPartial &* call.heads &+ (chunk &* call.layer.kvHeads &+ head) &* queries &* call.group
        return partials + before &* stateFloats
    }

    /// Folds a split request's chunks, in order, for one KV head.
    private func mergeChunks(
        _ call: AttentionCall, _ request: UnsafeMutablePointer<StepContext.Request>, head: Int, _ target: Rows,
        _ worker: Int
    ) {
        let stateFloats = 16 &+ KVPool.valueStride(call.layer.headDim)
        let states = scratch[worker].states
        for token in 0..<request.pointee.queryCount {
            for query in 0..<call.group {
                let state = states + query &* stateFloats
                memset(state, 0, stateFloats &* MemoryLayout<Float>.size)
                state[0] = -.infinity
                for chunk in 0..<request.pointee.chunkCount {
                    let partial = partialResults(call, request, head: head, chunk: chunk)
                    kernels.pointee.attention_merge(
                        state, partial + (token &* call.group &+ query) &* stateFloats, Int64(stateFloats &- 16))
                }
            }
            finish(
                call, head: head, states, stateFloats: stateFloats, token: request.pointee.queryStart &+ token, target,
                worker)
        }
    }

    /// Divides the states of one token's query heads by their sums and stores the row's columns.
    @inline(__always)
    private func finish(
        _ call: AttentionCall, head: Int, _ states: UnsafeMutablePointer<Float>, stateFloats: Int, token: Int,
        _ target: Rows, _ worker: Int
    ) {
        let headDim = call.layer.headDim
        let first = head &* call.group &* headDim
        let row = target.format == .f32 ? target.row(token) + first : scratch[worker].row
        for query in 0..<call.group {
            kernels.pointee.attention_finish(
                states + query &* stateFloats, Int64(headDim), row + query &* headDim)
        }
        if target.format != .f32 {
            store(row, columns: first..<first &+ call.group &* headDim, row: token, of: target)
        }
    }

    /// One chunk's partial results for some query tokens of a request and all query heads of a KV head.
    private func attend(
        _ call: AttentionCall, _ request: UnsafeMutablePointer<StepContext.Request>, head: Int, queries: Range<Int>,
        chunk: Int, _ partials: UnsafeMutablePointer<Float>, _ worker: Int
    ) {
        let chunkPages = CK_CHUNK_PAGES
        let firstPage = chunk &* chunkPages
        let firstQuery = request.pointee.contextLength &- request.pointee.queryCount &+ queries.lowerBound
        let seesAll = call.scope != .past
        let lastPosition = seesAll ? request.pointee.contextLength &- 1 : firstQuery &+ queries.count &- 1
        let pageCount = min(chunkPages, lastPosition / KVPool.pageRows &+ 1 &- firstPage)
        let headDim = call.layer.headDim
        withUnsafeTemporaryAllocation(of: UnsafeRawPointer?.self, capacity: chunkPages) { pages in
            for index in 0..<max(pageCount, 0) {
                pages[index] = page(
                    call.layer, request, head: head, firstPage &+ index, slot: index, lastPosition, worker)
            }
            var job = ck_attention(
                queries: call.query.row(request.pointee.queryStart &+ queries.lowerBound)
                    + head &* call.group &* headDim,
                query_stride: Int64(call.query.stride), query_tokens: Int64(queries.count), group: Int64(call.group),
                head_dim: Int64(headDim), first_query: Int64(firstQuery), pages: pages.baseAddress,
                page_count: Int64(max(pageCount, 0)), first_position: Int64(firstPage &* KVPool.pageRows),
                window: Int64(call.window), scale: call.scale, partials: partials)
            if seesAll { standTogether(&job, at: lastPosition, scratch[worker].queries) }
            ck_run_attention(kernels, call.layer.type, &job)
        }
    }

    /// Makes a job's query tokens heads of one token at the last position, which sees all positions there are: so queries
    /// see what comes after them too, with the kernels for those that don't. They are copied to lie like heads.
    private func standTogether(_ job: inout ck_attention, at position: Int, _ queries: UnsafeMutablePointer<Float>) {
        let width = Int(job.group &* job.head_dim)
        for token in 0..<Int(job.query_tokens) {
            memcpy(
                queries + token &* width, job.queries + token &* Int(job.query_stride),
                width &* MemoryLayout<Float>.size)
        }
        job.queries = UnsafePointer(queries)
        job.group = job.group &* job.query_tokens
        job.query_tokens = 1
        job.first_query = Int64(position)
    }

    /// The pool's page with positions 64 i …, or the worker's scratch page `slot` with the scattered rows gathered.
    @inline(__always)
    private func page(
        _ layer: KVPool.Layer, _ request: UnsafeMutablePointer<StepContext.Request>, head: Int, _ index: Int, slot: Int,
        _ lastPosition: Int, _ worker: Int
    ) -> UnsafeRawPointer {
        let aligned = request.pointee.pages[index]
        if aligned >= 0 { return UnsafeRawPointer(layer.page(Int(aligned), head: head)) }
        let gathered = scratch[worker].pages + slot &* layer.pageBytes
        let first = index &* KVPool.pageRows
        for offset in 0..<min(KVPool.pageRows, lastPosition &+ 1 &- first) {
            let row = Int(request.pointee.rows[first &+ offset])
            ck_run_kv_copy(
                kernels, layer.type, layer.page(row / KVPool.pageRows, head: head), Int64(row % KVPool.pageRows),
                gathered, Int64(offset), Int64(layer.headDim))
        }
        return UnsafeRawPointer(gathered)
    }
}
