import MartletCheckpoints
package import MartletGraph

/// y = x Wᵀ (+ b).
package struct Linear {
    private let weight: LinearWeight
    private let bias: Vector?

    init(
        _ name: String, inputs: Int, outputs: Int, bias: Bool = false, _ weights: Weights
    ) throws(CheckpointError) {
        weight = try weights.linear(name, rows: outputs, columns: inputs)
        self.bias = bias ? try weights.vector(name + ".bias", count: outputs) : nil
    }

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
