import MartletGraph
import Testing

/// A weight whose values never matter: graph tests look at structure only.
private struct FakeWeight: WeightSource {
    var rows: Int
    var columns: Int
    var encoding: WeightEncoding = .affine(AffineEncoding(bits: 4, groupSize: 32, zeroPoint: 8))
    var byteCount: Int { rows * columns / 2 }

    func readRow(_ row: Int, into values: UnsafeMutablePointer<Float>) {}
    func readAffineRow(_ row: Int, into buffers: AffineRow) {}
    func release(rows: Range<Int>) {}
}

/// The forward function of a small Llama, with biases on q, k and v if asked for.
private func traceLlama(layers: Int, bias: Bool = false) -> Graph {
    let (hidden, inner, heads, kvHeads, headDim, vocabulary) = (64, 128, 4, 2, 16, 96)
    func weight(_ rows: Int, _ columns: Int) -> LinearWeight {
        LinearWeight("w", FakeWeight(rows: rows, columns: columns))
    }
    func norm() -> RMSNormParameters {
        RMSNormParameters(weight: Vector("n", Array(repeating: 1, count: hidden)), epsilon: 1e-5)
    }
    let rotary = RotaryEmbedding(inverseFrequencies: Array(repeating: 0.5, count: headDim / 2))
    let tracer = Tracer()
    var h = tracer.embed(weight(vocabulary, hidden))
    for layer in 0..<layers {
        h = tracer.scope("layers.\(layer)") {
            let x = h.rmsNorm(norm())
            func project(_ width: Int) -> Tensor {
                let product = x.linear(weight(width, hidden))
                return bias ? product.addBias(Vector("b", Array(repeating: 1, count: width))) : product
            }
            let (q, k, v) = (project(heads * headDim), project(kvHeads * headDim), project(kvHeads * headDim))
            let attention = AttentionParameters(
                kv: KVLayer(layer: layer, kvHeads: kvHeads, headDim: headDim), heads: heads, scale: 0.25)
            let attended = Tensor.attention(
                q: q.rope(rotary, headDim: headDim), k: k.rope(rotary, headDim: headDim), v: v, attention)
            let sum = h + attended.linear(weight(hidden, hidden))
            let y = sum.rmsNorm(norm())
            return sum
                + (y.linear(weight(inner, hidden)).silu() * y.linear(weight(inner, hidden)))
                .linear(weight(hidden, inner))
        }
    }
    return tracer.finish(h.rmsNorm(norm()).sampledRows().linear(weight(vocabulary, hidden)))
}

private func plan(_ graph: Graph, fusions: [Fusion] = Fusion.all, tokens: Int = 32) -> Plan {
    let options = CompileOptions(
        limits: StepLimits(tokens: tokens, sampled: 4, requests: 4), kvRows: 128, fusions: fusions)
    return Plan(graph, options: options) { _ in .q8 }
}

@Test func fusedLlamaLayerHasEightCalls() {
    let names = plan(traceLlama(layers: 2)).calls.filter { $0.label.hasPrefix("layers.0") }.map(\.op.name)
    #expect(
        names == [
            "rmsNorm", "linear", "rope+storeKV", "attention", "linear+add", "rmsNorm", "linear+swiGLU", "linear+add",
        ])
}

@Test func behindTheLastAttentionOnlySampledRowsAreComputed() {
    let calls = plan(traceLlama(layers: 2)).calls
    let attention = calls.lastIndex { $0.op.name == "attention" } ?? 0
    let behind = calls[(attention + 1)...]
    #expect(
        behind.map(\.op.name) == [
            "rows", "rows", "convert(q8)", "linear+add", "rmsNorm", "linear+swiGLU", "linear+add", "rmsNorm", "linear",
        ])
    #expect(behind.allSatisfy { $0.outputs[0].shape.rows == .sampled })
    #expect(calls[...attention].allSatisfy { $0.outputs[0].shape.rows == .tokens })
}

@Test func unfusedLlamaLayerIsTheTraceWithConversions() {
    let names = plan(traceLlama(layers: 1), fusions: []).calls.filter { $0.label.hasPrefix("layers.0") }.map(\.op.name)
    #expect(
        names == [
            "rmsNorm", "convert(q8)", "linear", "linear", "linear", "rope", "rope", "storeKV", "attention",
            "convert(q8)", "linear", "add", "rmsNorm", "convert(q8)", "linear", "silu", "linear", "multiply",
            "convert(q8)", "linear", "add",
        ])
}

@Test func biasesMoveIntoTheJoinedLinear() throws {
    let calls = plan(traceLlama(layers: 2, bias: true)).calls.filter { $0.label.hasPrefix("layers.0") }
    #expect(calls.count == 8)
    let weight = try #require(calls[1].op.linearWeight)
    #expect(weight.parts.count == 3)
    #expect(weight.bias?.count == weight.rows)
}

@Test func addAndNormFuseWhereTheLinearDidNotTakeTheAdd() {
    let fusions = Fusion.all.filter { $0.name != "linearAdd" }
    let names = plan(traceLlama(layers: 2), fusions: fusions).calls.map(\.op.name)
    // Every norm but the first: that of the embedding.
    #expect(names.filter { $0 == "skipRMSNorm" }.count == 4)
}

@Test(arguments: Fusion.all.indices)
func everySubsetOfFusionsKeepsTheGraphWellFormed(without index: Int) {
    var fusions = Fusion.all
    fusions.remove(at: index)
    for list in [fusions, [Fusion.all[index]]] {
        let graph = traceLlama(layers: 2, bias: true).lowered(fusions: list) { _ in .q8 }
        var made = Set<Graph.ValueID>()
        for node in graph.nodes {
            #expect(node.inputs.allSatisfy(made.contains), "\(node.op.name) reads a value before it is made")
            for output in node.outputs { #expect(made.insert(output).inserted) }
        }
        #expect(graph.output.map(made.contains) == true)
    }
}

@Test func fusionSavesTraffic() {
    let step = Plan.StepShape.decode(context: 100)
    let fused = plan(traceLlama(layers: 2)).traffic(in: step)
    let unfused = plan(traceLlama(layers: 2), fusions: []).traffic(in: step)
    #expect(fused.weightBytes == unfused.weightBytes)
    #expect(fused.operations == unfused.operations)
    #expect(fused.kvBytes == unfused.kvBytes)
    #expect(fused.activationBytes < unfused.activationBytes)
}
