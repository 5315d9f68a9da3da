import MartletCheckpoints
package import MartletGraph

/// y = x Wᵀ (+ b).
package struct Linear {
    private let weight: LinearWeight
    private let bias: Vector?

    /// - Parameter outputOrder: how the columns of the result are to be ordered, or nil.
    init(
        _ name: String, inputs: Int, outputs: Int, bias: Bool = false, outputOrder: ColumnOrder? = nil,
        _ weights: Weights
    ) throws(CheckpointError) {
        let weight = try weights.linear(name, rows: outputs, columns: inputs)
        let bias = bias ? try weights.vector(name + ".bias", count: outputs) : nil
        if let order = outputOrder {
            self.weight = weight.reorderingOutput(order)
            self.bias = bias.map { bias in Vector(bias.name, order.indices.map { bias.values[Int($0)] }) }
        } else {
            (self.weight, self.bias) = (weight, bias)
        }
    }

    private init(weight: LinearWeight, bias: Vector?) { (self.weight, self.bias) = (weight, bias) }

    /// How the columns of the input have to be ordered; nil as they are.
    var inputOrder: ColumnOrder? { weight.inputOrder }

    /// The same layer for an input that is in `inputOrder` already.
    func takingOrderedInput() -> Linear { Linear(weight: weight.takingOrderedInput(), bias: bias) }

    /// An output projection that shares the embedding table's matrix.
    init(tiedTo embedding: Embedding) {
        weight = embedding.table
        bias = nil
    }

    package func callAsFunction(_ x: Tensor) -> Tensor {
        let product = x.linear(weight)
        return bias.map(product.addBias) ?? product
    }
}

/// Rows of a table, by token id.
package struct Embedding {
    let table: LinearWeight

    init(_ name: String, count: Int, width: Int, _ weights: Weights) throws(CheckpointError) {
        table = try weights.linear(name, rows: count, columns: width)
    }

    package func callAsFunction(_ tokens: Tracer) -> Tensor { tokens.embed(table) }
}
