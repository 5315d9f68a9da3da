/// A symbolic value while a model's forward function is traced: it has a shape and no data.
///
/// Layers are structs with `callAsFunction` that call these methods; each records one op in the graph.
package struct Tensor {
    let tracer: Tracer
    let id: Graph.ValueID
    package let shape: Shape

    private func record(_ op: Op, _ others: Tensor..., shape: Shape? = nil) -> Tensor {
        tracer.record(op, [id] + others.map(\.id), shape: shape ?? self.shape)
    }

    /// x Wᵀ.
    package func linear(_ weight: LinearWeight) -> Tensor {
        precondition(weight.columns == shape.width, "\(weight.name): \(weight.columns) columns, input \(shape.width)")
        var input = weight.inputOrder.map { tracer.reordered(self, $0) } ?? self
        if weight.roundsInputToFloat8 { input = tracer.roundedToFloat8(input) }
        return input.record(.linear(weight), shape: Shape(shape.rows, weight.rows))
    }

    package func rmsNorm(_ norm: RMSNormParameters) -> Tensor {
        precondition(shape.width % norm.weight.values.count == 0)
        return record(.rmsNorm(norm))
    }

    package func addBias(_ bias: Vector) -> Tensor {
        precondition(bias.values.count == shape.width)
        return record(.addBias(bias))
    }

    package func layerNorm(_ norm: LayerNormParameters) -> Tensor {
        precondition(norm.weight.values.count == shape.width && norm.bias.values.count == shape.width)
        return record(.layerNorm(norm))
    }

    package func silu() -> Tensor { record(.silu) }

    package func gelu(_ kind: GELU) -> Tensor { record(.gelu(kind)) }

    /// The rows that the step brings in the place of those of tokens that have one.
    package func replacedByFeatures() -> Tensor { record(.replaceByFeatures) }

    /// Columns of all of them side by side.
    package static func concatenate(_ tensors: [Tensor]) -> Tensor {
        precondition(!tensors.isEmpty && tensors.allSatisfy { $0.shape.rows == tensors[0].shape.rows })
        return tensors[0].tracer.record(
            .concatenate, tensors.map(\.id),
            shape: Shape(tensors[0].shape.rows, tensors.reduce(0) { $0 + $1.shape.width }))
    }

    /// Each `count` rows side by side; there must be a sampled row for each.
    package func groupedRows(_ count: Int) -> Tensor {
        precondition(shape.rows == .tokens && count > 0)
        return record(.groupRows(count: count), shape: Shape(.sampled, shape.width * count))
    }

    package func rope(_ rotary: RotaryEmbedding, headDim: Int) -> Tensor {
        precondition(shape.width % headDim == 0 && rotary.dimensions <= headDim)
        return record(.rope(rotary, headDim: headDim))
    }

    /// Columns `offset ..< offset + width`, as a view.
    package func slice(offset: Int, width: Int) -> Tensor {
        precondition(offset >= 0 && width > 0 && offset + width <= shape.width)
        return record(.slice(offset: offset), shape: Shape(shape.rows, width))
    }

    /// Writes the keys and values of this step's tokens (`self` are the keys) and attends over each token's context.
    package static func attention(q: Tensor, k: Tensor, v: Tensor, _ attention: AttentionParameters) -> Tensor {
        let width = attention.kv.kvHeads * attention.kv.headDim
        precondition(k.shape.width == width && v.shape.width == width)
        precondition(q.shape.width == attention.heads * attention.kv.headDim)
        let written = k.record(.storeKV(attention.kv), v, shape: Shape(.tokens, 0))
        return q.record(.attention(attention), written)
    }

    /// The weighted sum of what each token's experts make of it; `router` are the router's logits, `[rows, experts]`.
    package func experts(_ experts: Experts, router: Tensor) -> Tensor {
        precondition(router.shape.width == experts.count && shape.width == experts.width)
        return record(.experts(experts), router)
    }

    /// The rows whose logits are needed.
    package func sampledRows() -> Tensor { record(.rows, shape: Shape(.sampled, shape.width)) }

    package static func + (a: Tensor, b: Tensor) -> Tensor {
        precondition(a.shape == b.shape)
        return a.record(.add, b)
    }

    package static func * (a: Tensor, b: Tensor) -> Tensor {
        precondition(a.shape == b.shape)
        return a.record(.multiply, b)
    }
}

/// Records a forward function: the graph grows as tensors are computed from one another.
package final class Tracer {
    private var graph = Graph()
    private var scopes: [String] = []
    private var reordered: [Reordering: Tensor] = [:]
    private var rounded: [Graph.ValueID: Tensor] = [:]

    private struct Reordering: Hashable {
        let value: Graph.ValueID
        let order: ObjectIdentifier
    }

    package init() {}

    /// The embeddings of the step's tokens: where every trace begins.
    package func embed(_ table: LinearWeight) -> Tensor {
        record(.embed(table), [], shape: Shape(.tokens, table.columns))
    }

    /// Columns of the rows that the step brings: where a vision tower's trace begins.
    package func features(column: Int = 0, width: Int) -> Tensor {
        record(.features(column: column), [], shape: Shape(.tokens, width))
    }

    /// Runs `body` with `name` added to the labels of what it records.
    package func scope<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
        scopes.append(name)
        defer { scopes.removeLast() }
        return try body()
    }

    /// The columns of `x` in another order, made once however many layers ask for it.
    func reordered(_ x: Tensor, _ order: ColumnOrder) -> Tensor {
        let key = Reordering(value: x.id, order: ObjectIdentifier(order))
        if let known = reordered[key] { return known }
        let result = record(.reorder(order), [x.id], shape: x.shape)
        reordered[key] = result
        return result
    }

    /// `x` rounded to 8-bit floats, once however many layers ask for it.
    func roundedToFloat8(_ x: Tensor) -> Tensor {
        if let known = rounded[x.id] { return known }
        let result = record(.roundToFloat8, [x.id], shape: x.shape)
        rounded[x.id] = result
        return result
    }

    /// Ends the trace with its result.
    package func finish(_ output: Tensor) -> Graph {
        graph.output = output.id
        return graph
    }

    func record(_ op: Op, _ inputs: [Graph.ValueID], shape: Shape) -> Tensor {
        let label = scopes.joined(separator: ".")
        return Tensor(tracer: self, id: graph.record(op, inputs, shape: shape, label: label), shape: shape)
    }
}
