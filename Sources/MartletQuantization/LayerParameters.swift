import MartletCheckpoints

/// The weights of one decoder layer in memory, under names below the layer's ("mlp.up_proj").
struct LayerParameters {
    /// Name of the layer: "model.layers.0".
    let name: String
    /// `[outputs, inputs]`, by the name of the linear layer.
    var weights: [String: Matrix] = [:]
    /// Norms and biases, by tensor name ("input_layernorm.weight").
    var vectors: [String: [Float]] = [:]

    /// - Throws: `QuantizationError` for a weight that is not finite, `CheckpointError` for a tensor that is missing.
    init(_ source: SourceModel, layer: Int) throws {
        name = source.layerName(layer)
        for tensorName in source.tensorNames(ofLayer: layer) {
            let tensor = try source.checkpoint.tensor(tensorName)
            let local = String(tensorName.dropFirst(name.count + 1))
            let linear = local.hasSuffix(".weight") ? String(local.dropLast(".weight".count)) : local
            if LayerGroup.linears.contains(linear) {
                let matrix = Matrix(rows: tensor.rows, columns: tensor.columns)
                for row in 0..<tensor.rows { tensor.dequantizeRow(row, into: matrix.row(row)) }
                tensor.releasePages(rows: 0..<tensor.rows)
                guard matrix.isFinite else {
                    throw QuantizationError("\(tensorName) has values that are infinite or not numbers")
                }
                weights[linear] = matrix
            } else {
                vectors[local] = tensor.dequantized()
            }
        }
    }

    /// The weight of a linear layer, which the source was checked to have.
    func weight(_ linear: String) throws(QuantizationError) -> Matrix {
        guard let weight = weights[linear] else { throw QuantizationError("\(name).\(linear).weight is missing") }
        return weight
    }

    /// Multiplies a group's input columns by `factors`, and divides what makes its input by them, so that the layer computes
    /// what it did.
    ///
    /// - Parameters:
    ///   - factors: positive, `[inputs]`.
    ///   - storage: how the norm will be stored.
    /// - Returns: the factors that the columns were multiplied by. Those that go into a norm differ a little from what was
    ///   asked for, such that a norm that was rounded to its stored type still cancels them.
    mutating func fold(
        _ factors: [Float], of group: LayerGroup, storage: FloatStorage
    ) throws(QuantizationError) -> [Float] {
        var factors = factors
        switch group.fold {
        case .norm(let norm):
            guard var values = vectors[norm + ".weight"] else {
                throw QuantizationError("\(name).\(norm).weight is missing")
            }
            for index in values.indices {
                let divided = storage.rounded(values[index] / factors[index])
                // A norm of 0 (or one that would become 0 or infinite) stays as it is.
                guard divided != 0, divided.isFinite else {
                    factors[index] = 1
                    continue
                }
                factors[index] = values[index] / divided
                values[index] = divided
            }
            vectors[norm + ".weight"] = values
        case .rows(let linear):
            let weight = try weight(linear)
            for row in 0..<weight.rows {
                // The factors of columns that this row makes are equal.
                let factor = factors[Self.column(ofRow: row, rows: weight.rows, columns: factors.count, head: headDim)]
                let values = weight.row(row)
                for column in 0..<weight.columns { values[column] /= factor }
                vectors[linear + ".bias"]?[row] /= factor
            }
        }
        for linear in group.linears {
            let weight = try weight(linear)
            for row in 0..<weight.rows {
                let values = weight.row(row)
                for column in 0..<weight.columns { values[column] *= factors[column] }
            }
        }
        return factors
    }

    /// Width of an attention head; set by whoever folds.
    var headDim = 1

    /// The first of a group's input columns that row `row` of the layer before makes. A value head's row is read by as many
    /// query heads as share it.
    static func column(ofRow row: Int, rows: Int, columns: Int, head: Int) -> Int {
        let sharing = columns / rows
        return row / head * head * sharing + row % head
    }

    /// For each input column the row of the layer before that makes it.
    static func rowsOfColumns(rows: Int, columns: Int, head: Int) -> [Int] {
        let sharing = columns / rows
        return (0..<columns).map { $0 / (head * sharing) * head + $0 % head }
    }
}
