import Testing

@testable import MartletGraph

/// Runs a plan on fake memory: every operand that a call writes is stamped with an id, and every operand that is read must
/// still carry the id of the value that the graph says it reads.
@Test(arguments: [Fusion.all, []])
func livingValuesNeverOverlap(fusions: [Fusion]) {
    let graph = sampleGraph(layers: 3).lowered(fusions: fusions) { _ in .q16 }
    let limits = StepLimits(tokens: 8, sampled: 2, requests: 2)
    let planner = MemoryPlanner(graph, limits: limits)
    // One byte of memory per arena byte; a value's bytes are the columns it occupies in each row of its storage.
    var owner = [Int](repeating: -1, count: planner.arenaBytes)
    func bytes(_ id: Graph.ValueID) -> [Int] {
        guard let placement = planner.placements[id.index] else { return [] }
        let (storage, value) = (planner.storages[placement.storage], graph[id])
        let rows = value.shape.rows == .tokens ? limits.tokens : limits.sampled
        if value.format != .f32 {
            return Array(storage.offset..<storage.offset + rows * value.format.rowBytes(value.shape.width))
        }
        return (0..<rows).flatMap { row in
            let start = storage.offset + (row * storage.width + placement.column) * 4
            return start..<start + value.shape.width * 4
        }
    }
    var roots: [Graph.ValueID: Graph.ValueID] = [:]
    for node in graph.nodes {
        for input in node.inputs {
            let stamp = (roots[input] ?? input).index
            #expect(bytes(input).allSatisfy { owner[$0] == stamp }, "\(node.op.name) reads overwritten memory")
        }
        if case .slice = node.op {
            roots[node.outputs[0]] = roots[node.inputs[0]] ?? node.inputs[0]
            continue
        }
        for output in node.outputs {
            for byte in bytes(output) { owner[byte] = output.index }
        }
    }
    if let output = graph.output { #expect(bytes(output).allSatisfy { owner[$0] == output.index }) }
}

@Test func arenaIsMuchSmallerThanAllIntermediates() {
    let graph = sampleGraph(layers: 8).lowered(fusions: Fusion.all) { _ in .q8 }
    let limits = StepLimits(tokens: 64, sampled: 4, requests: 4)
    let planner = MemoryPlanner(graph, limits: limits)
    let all = planner.storages.reduce(0) { $0 + $1.bytes }
    #expect(planner.arenaBytes * 4 < all)
}

private func sampleGraph(layers: Int) -> Graph {
    let norm = RMSNormParameters(weight: Vector("n", Array(repeating: 1, count: 64)), epsilon: 1e-5)
    func weight(_ rows: Int, _ columns: Int) -> LinearWeight {
        LinearWeight("w", NoWeight(rows: rows, columns: columns))
    }
    let rotary = RotaryEmbedding(inverseFrequencies: Array(repeating: 0.5, count: 8))
    let tracer = Tracer()
    var h = tracer.embed(weight(96, 64))
    for layer in 0..<layers {
        let x = h.rmsNorm(norm)
        let (q, k, v) = (x.linear(weight(64, 64)), x.linear(weight(32, 64)), x.linear(weight(32, 64)))
        let attended = Tensor.attention(
            q: q.rope(rotary, headDim: 16), k: k.rope(rotary, headDim: 16), v: v,
            AttentionParameters(kv: KVLayer(layer: layer, kvHeads: 2, headDim: 16), heads: 4, scale: 0.25))
        h = h + attended.linear(weight(64, 64))
        let y = h.rmsNorm(norm)
        h = h + (y.linear(weight(128, 64)).silu() * y.linear(weight(128, 64))).linear(weight(64, 128))
    }
    return tracer.finish(h.rmsNorm(norm).sampledRows().linear(weight(96, 64)))
}

private struct NoWeight: WeightSource {
    var rows: Int
    var columns: Int
    var encoding: WeightEncoding { .f32 }
    var byteCount: Int { rows * columns * 4 }

    func readRow(_ row: Int, into values: UnsafeMutablePointer<Float>) {}
    func readAffineRow(_ row: Int, into buffers: AffineRow) {}
    func release(rows: Range<Int>) {}
}
