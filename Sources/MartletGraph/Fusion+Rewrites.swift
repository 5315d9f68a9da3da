extension Fusion {
    /// op → rows becomes rows → op, as far back as ops work row by row: to the last layer's attention. Of a prompt's tokens
    /// only those whose logits are needed go through the last MLP, the last norm and `lm_head`.
    package static let rowsEarly = Fusion(
        name: "rowsEarly", reason: "after the last attention only sampled rows are computed", followsLegalization: false
    ) { rewriter in
        guard
            let (rowsIndex, rows) = rewriter.nodes.first(where: {
                if case .rows = $0.element.op { true } else { false }
            })
        else { return }
        // Backwards: a node moves behind the selection if everything that reads it has.
        var moved: Set<Int> = [rowsIndex]
        for index in (0..<rowsIndex).reversed() {
            let node = rewriter.graph.nodes[index]
            let isReadBehind = node.outputs.allSatisfy { output in
                let readers = rewriter.readers(of: output)
                return !readers.isEmpty && moved.isSuperset(of: readers)
            }
            if node.op.isRowwise && isReadBehind { moved.insert(index) }
        }
        guard moved.count > 1 else { return }
        var selected: [Graph.ValueID: Graph.ValueID] = [rows.inputs[0]: rows.outputs[0]]
        for index in moved.sorted() where index != rowsIndex {
            var node = rewriter.graph.nodes[index]
            var selections: [Graph.Node] = []
            for (position, input) in node.inputs.enumerated() {
                if selected[input] == nil {
                    let value = rewriter.makeSampledValue(like: input)
                    selected[input] = value
                    selections.append(.init(op: .rows, inputs: [input], outputs: [value], label: node.label))
                }
                node.inputs[position] = selected[input] ?? input
            }
            for (position, output) in node.outputs.enumerated() {
                let value = selected[output] ?? rewriter.makeSampledValue(like: output)
                selected[output] = value
                node.outputs[position] = value
            }
            rewriter.replace(index, with: selections + [node])
        }
        rewriter.replace(rowsIndex)
    }

    /// linear → addBias becomes one linear: the product is not read and written again.
    package static let linearBias = Fusion(
        name: "linearBias", reason: "the product is not read and written again", followsLegalization: false
    ) { rewriter in
        for (index, node) in rewriter.nodes {
            guard case .addBias(let bias) = node.op,
                let (linearIndex, linear) = rewriter.soleProducer(of: node.inputs[0]),
                case .linear(let weight) = linear.op, weight.bias == nil
            else { continue }
            let biased = LinearWeight(weight.name, joining: [weight], bias: bias.values)
            rewriter.replace(linearIndex)
            rewriter.replace(
                index,
                with: .init(op: .linear(biased), inputs: linear.inputs, outputs: node.outputs, label: linear.label))
        }
    }

    /// silu → multiply becomes swiGLU: silu's result is never stored.
    package static let swiGLU = Fusion(
        name: "swiGLU", reason: "silu(gate) is never stored", followsLegalization: false
    ) { rewriter in
        for (index, node) in rewriter.nodes {
            guard case .multiply = node.op, let (siluIndex, silu) = rewriter.soleProducer(of: node.inputs[0]),
                case .silu = silu.op
            else { continue }
            rewriter.replace(siluIndex)
            rewriter.replace(
                index,
                with: .init(
                    op: .swiGLU, inputs: [silu.inputs[0], node.inputs[1]], outputs: node.outputs, label: node.label))
        }
    }

    /// gate, up → swiGLU becomes one linear with an epilogue: gate and up never leave the cache.
    package static let linearSwiGLU = Fusion(
        name: "linearSwiGLU", reason: "gate and up are never stored", followsLegalization: false
    ) { rewriter in
        for (index, node) in rewriter.nodes {
            guard case .swiGLU = node.op,
                let (gateIndex, gate) = rewriter.soleProducer(of: node.inputs[0]),
                case .linear(let gateWeight) = gate.op,
                let (upIndex, up) = rewriter.soleProducer(of: node.inputs[1]), case .linear(let upWeight) = up.op,
                gate.inputs == up.inputs, gateWeight.bias == nil, upWeight.bias == nil,
                gateWeight.parts.count == 1, upWeight.parts.count == 1, gateWeight.rows == upWeight.rows,
                // Gate and up panels alternate in memory, so they must have one layout.
                gateWeight.parts[0].encoding == upWeight.parts[0].encoding
            else { continue }
            let joined = LinearWeight(
                gateWeight.name + "+" + upWeight.name, joining: [gateWeight, upWeight], isInterleaved: true, bias: nil)
            rewriter.replace(gateIndex)
            rewriter.replace(upIndex)
            rewriter.replace(
                index,
                with: .init(op: .linearSwiGLU(joined), inputs: gate.inputs, outputs: node.outputs, label: node.label))
        }
    }

    /// Linears that read the same value become one (q, k, v → qkv): the input is read once, and one kernel call has
    /// more rows to share among the workers.
    package static let sharedInput = Fusion(
        name: "sharedInput", reason: "the input is read once", followsLegalization: false
    ) { rewriter in
        for value in rewriter.graph.values.indices.map(Graph.ValueID.init) {
            let linears = rewriter.readers(of: value).compactMap { index -> (Int, Graph.Node, LinearWeight)? in
                let node = rewriter.graph.nodes[index]
                guard case .linear(let weight) = node.op, !weight.isInterleaved else { return nil }
                return (index, node, weight)
            }
            guard linears.count > 1, Set(linears.map { rewriter.activationFormat($0.2) }).count == 1 else { continue }
            let weights = linears.map(\.2)
            let bias: [Float]? =
                weights.allSatisfy { $0.bias == nil }
                ? nil : weights.flatMap { $0.bias ?? [Float](repeating: 0, count: $0.rows) }
            let joined = LinearWeight(
                weights.map(\.name).joined(separator: "+"), joining: weights, bias: bias)
            let output = rewriter.makeValue(Shape(rewriter.graph[value].shape.rows, joined.rows))
            let product = Graph.Node(op: .linear(joined), inputs: [value], outputs: [output], label: linears[0].1.label)
            var offset = 0
            for (position, (index, node, weight)) in linears.enumerated() {
                let view = Graph.Node(
                    op: .slice(offset: offset), inputs: [output], outputs: node.outputs, label: node.label)
                if position == 0 {
                    rewriter.replace(index, with: product, view)
                } else {
                    rewriter.replace(index, with: view)
                }
                offset += weight.rows
            }
        }
    }

    /// linear → add becomes one linear that adds to the residual stream where it lies.
    package static let linearAdd = Fusion(
        name: "linearAdd", reason: "the product is added where the residual stream lies", followsLegalization: false
    ) { rewriter in
        for (index, node) in rewriter.nodes {
            guard case .add = node.op, let (linearIndex, linear) = rewriter.soleProducer(of: node.inputs[1]),
                case .linear(let weight) = linear.op
            else { continue }
            rewriter.replace(linearIndex)
            rewriter.replace(
                index,
                with: .init(
                    op: .linearAdd(weight), inputs: [linear.inputs[0], node.inputs[0]], outputs: node.outputs,
                    label: linear.label))
        }
    }

    /// rmsNorm → reorder (before layers with activation order) becomes a norm that writes its columns in that order.
    package static let reorderInNorm = Fusion(
        name: "reorderInNorm", reason: "the row is put in order while it is at hand", followsLegalization: false
    ) { rewriter in
        for (index, node) in rewriter.nodes {
            guard case .reorder(let order) = node.op,
                let (normIndex, norm) = rewriter.soleProducer(of: node.inputs[0]),
                case .rmsNorm(var parameters) = norm.op,
                parameters.weight.values.count == rewriter.graph[node.inputs[0]].shape.width
            else { continue }
            parameters.order = order
            rewriter.replace(normIndex)
            rewriter.replace(
                index,
                with: .init(
                    op: .rmsNorm(parameters), inputs: norm.inputs, outputs: node.outputs, label: norm.label))
        }
    }

    /// add → rmsNorm becomes one pass over the row. (Where `linearAdd` has taken the add, nothing is left to do.)
    package static let skipRMSNorm = Fusion(
        name: "skipRMSNorm", reason: "the sum is normalized while it is in registers", followsLegalization: false
    ) { rewriter in
        for (index, node) in rewriter.nodes {
            guard case .rmsNorm(let norm) = node.op, let (addIndex, add) = rewriter.producer(of: node.inputs[0]),
                case .add = add.op, norm.weight.values.count == rewriter.graph[node.inputs[0]].shape.width,
                // The sum is now made where the norm stood: nothing may read it before.
                rewriter.readers(of: node.inputs[0]).first == index
            else { continue }
            rewriter.replace(addIndex)
            rewriter.replace(
                index,
                with: .init(
                    op: .skipRMSNorm(norm), inputs: add.inputs, outputs: [node.inputs[0], node.outputs[0]],
                    label: node.label))
        }
    }

    /// rope(q), rope(k), storeKV become one pass over q, k and v: rotated keys go straight to their place in the KV pool.
    package static let ropeStoreKV = Fusion(
        name: "ropeStoreKV", reason: "rotated keys go straight to the KV pool", followsLegalization: false
    ) { rewriter in
        for (index, node) in rewriter.nodes {
            guard case .attention(let attention) = node.op,
                let (storeIndex, store) = rewriter.soleProducer(of: node.inputs[1]),
                case .storeKV(let layer) = store.op,
                let (queryIndex, query) = rewriter.soleProducer(of: node.inputs[0]),
                case .rope(let rotary, let headDim) = query.op,
                let (keyIndex, key) = rewriter.soleProducer(of: store.inputs[0]),
                case .rope(rotary, headDim) = key.op, headDim == attention.kv.headDim, queryIndex < storeIndex
            else { continue }
            rewriter.replace(queryIndex)
            rewriter.replace(keyIndex)
            rewriter.replace(
                storeIndex,
                with: .init(
                    op: .ropeStoreKV(rotary, layer), inputs: [query.inputs[0], key.inputs[0], store.inputs[1]],
                    outputs: [node.inputs[0], node.inputs[1]], label: node.label))
            rewriter.replace(index, with: node)
        }
    }

    /// A conversion moves into the op that makes the value: the float row is never stored.
    package static let convertInProducer = Fusion(
        name: "convertInProducer", reason: "the float row is never stored", followsLegalization: true
    ) { rewriter in
        for (index, node) in rewriter.nodes {
            guard case .convert(let format) = node.op,
                let (makerIndex, maker) = rewriter.soleProducer(of: node.inputs[0]),
                maker.op.canConvertOutput(width: rewriter.graph[node.inputs[0]].shape.width)
            else { continue }
            var converting = maker
            converting.outputs[converting.outputs.count - 1] = node.outputs[0]
            rewriter.setFormat(format, of: node.outputs[0])
            rewriter.replace(makerIndex, with: converting)
            rewriter.replace(index)
        }
    }
}

extension Op {
    /// Whether a row of the result depends on the same row of each input only.
    fileprivate var isRowwise: Bool {
        switch self {
        case .rmsNorm, .layerNorm, .linear, .addBias, .add, .multiply, .silu, .gelu, .slice, .reorder, .roundToFloat8,
            .experts:
            true
        default: false
        }
    }

    /// Whether the op's kernel can write its last output in a converted format: it must hold whole rows or whole groups.
    fileprivate func canConvertOutput(width: Int) -> Bool {
        switch self {
        case .rmsNorm(let norm): norm.weight.values.count == width
        case .layerNorm, .gelu, .skipRMSNorm, .swiGLU, .linearSwiGLU, .attention, .reorder: true
        default: false
        }
    }
}
