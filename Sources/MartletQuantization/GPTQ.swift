import MartletCPU

/// GPTQ (Frantar et al. 2022, arXiv:2210.17323): columns are rounded one after the other, and what a column loses is made up
/// for by those that are not rounded yet, as the inverse Hessian of the layer's output error says.
struct GPTQ: Sendable {
    let settings: QuantizationSettings
    let grid: QuantizationGrid
    let workers: MatrixProduct

    /// Columns whose errors reach the columns behind them together: one matrix product instead of many updates.
    private static let block = 128
    /// How often the damping is doubled where the Hessian is singular.
    private static let attempts = 8

    /// What the layers that share an input have in common.
    struct Factor {
        /// U, upper triangular, with H⁻¹ = Uᵀ U, for columns in the order in which they are rounded.
        let inverse: Matrix
        /// The column that is rounded at each step.
        let order: [Int]
    }

    /// - Throws: `QuantizationError` if the Hessian is singular even with a large damping.
    func factor(of statistics: InputStatistics, name: String) throws(QuantizationError) -> Factor {
        let gram = statistics.gram
        let size = gram.rows
        let diagonal = (0..<size).map { gram.row($0)[$0] }
        let mean = diagonal.reduce(0, { $0 + Double($1) }) / Double(size)
        guard mean > 0 else {
            throw QuantizationError("the inputs of \(name) are zero on the calibration text")
        }
        let order =
            settings.actOrder
            ? (0..<size).sorted { (diagonal[$1], $0) < (diagonal[$0], $1) } : Array(0..<size)
        var damping = settings.damping * mean
        for _ in 0..<Self.attempts {
            // From the last column to the first: if H, so reversed, is L Lᵀ, then L⁻¹, reversed back, is U. One
            // decomposition, where inverting H and decomposing the inverse would take two.
            let factor = Matrix(rows: size, columns: size)
            let added = Float(damping)
            workers.forEach(size) { row, _ in
                let source = gram.row(order[size - 1 - row])
                let target = factor.row(row)
                for column in 0..<size { target[column] = source[order[size - 1 - column]] }
                // A column that is never used has nothing to make up for.
                if target[row] == 0 { target[row] = 1 }
                target[row] += added
            }
            if Cholesky.factorize(factor, on: workers) {
                Cholesky.invert(factor, on: workers)
                // Every row and the rows themselves.
                var values = factor.floats
                values.reverse()
                guard factor.isFinite else { break }
                return Factor(inverse: factor, order: order)
            }
            damping = max(2 * damping, 1e-6 * mean)
        }
        throw QuantizationError(
            "the Hessian of \(name) is singular: use more calibration text, or a larger --damp")
    }

    /// - Parameter weight: what to round; see `corrected`.
    /// - Returns: codes in the weight's own order of columns.
    func quantize(_ weight: Matrix, _ factor: Factor, name: String) throws(QuantizationError) -> QuantizedMatrix {
        let (rows, columns) = (weight.rows, weight.columns)
        let order = factor.order
        let size = settings.groupSize ?? columns
        var groupIndex: [Int32]?
        if settings.actOrder {
            var index = [Int32](repeating: 0, count: columns)
            for (position, column) in order.enumerated() { index[column] = Int32(position / size) }
            groupIndex = index
        }
        let result = QuantizedMatrix(
            rows: rows, columns: columns, groupSize: settings.groupSize, grid: grid, groupIndex: groupIndex)
        let current = Matrix(rows: rows, columns: columns)
        workers.forEach(rows) { row, _ in
            for position in 0..<columns { current.row(row)[position] = weight.row(row)[order[position]] }
        }
        let errors = Matrix(rows: rows, columns: Self.block)
        for first in stride(from: 0, to: columns, by: Self.block) {
            let range = first..<min(first + Self.block, columns)
            workers.forEach(rows) { row, _ in
                round(range, ofRow: row, current, factor, groupSize: size, errors: errors.row(row), result)
            }
            if range.upperBound < columns {
                workers.add(
                    errors.part(rows: 0..<rows, columns: 0..<range.count),
                    factor.inverse.part(rows: range, columns: range.upperBound..<columns),
                    to: current.part(rows: 0..<rows, columns: range.upperBound..<columns), scale: -1)
            }
        }
        guard current.isFinite else {
            throw QuantizationError("rounding \(name) diverged: use a larger --damp")
        }
        return result
    }

    /// The weights with what makes up for the inputs' loss: of all weights W' the one whose product with the inputs as they
    /// are is nearest to W's with the exact ones is W + W ΔXᵀ X H⁻¹ (Arai & Ichikawa 2025, arXiv:2504.09629). A share of it
    /// is taken, as on another text all of it would be too much.
    ///
    /// - Parameter loss: ΔXᵀ X of the layer's inputs, or nil: see `InputStatistics`.
    func corrected(_ weight: Matrix, _ loss: Matrix?, _ factor: Factor) -> Matrix {
        guard let loss, settings.correction > 0 else { return weight }
        let (rows, columns) = (weight.rows, weight.columns)
        let products = Matrix(rows: rows, columns: columns)
        workers.add(weight.strided, loss.strided, to: products.strided)
        let ordered = Matrix(rows: rows, columns: columns)
        workers.forEach(rows) { row, _ in
            for position in 0..<columns { ordered.row(row)[position] = products.row(row)[factor.order[position]] }
        }
        // H⁻¹ = Uᵀ U.
        let inverse = factor.inverse.strided
        products.floats.update(repeating: 0)
        workers.add(ordered.strided, inverse.transposed, to: products.strided)
        ordered.floats.update(repeating: 0)
        workers.add(products.strided, inverse, to: ordered.strided, scale: Float(settings.correction))
        let result = weight.copy()
        workers.forEach(rows) { row, _ in
            for position in 0..<columns { result.row(row)[factor.order[position]] += ordered.row(row)[position] }
        }
        return result
    }

    /// Of the grids that span shares of a group's range the one with the least error, as the method counts it: a column's
    /// squared error weighs U⁻², what it adds to the output's error when the columns behind it have made up for it.
    private func bestGroup(
        _ values: UnsafePointer<Float>, count: Int, weight: (Int) -> Float
    ) -> QuantizationGrid.Group {
        let range = QuantizationGrid.range(values, count: count)
        var best = grid.group(low: range[0], high: range[1])
        var least = Float.infinity
        for share in grid.shares {
            let group = grid.group(low: share[0] * range[0], high: share[1] * range[1])
            var error: Float = 0
            for index in 0..<count {
                let difference = grid.value(grid.code(values[index], group), group) - values[index]
                error += difference * difference * weight(index)
            }
            if error < least { (least, best) = (error, group) }
        }
        return best
    }

    /// Rounds a block of columns of one row: rows know nothing of each other.
    private func round(
        _ range: Range<Int>, ofRow row: Int, _ current: Matrix, _ factor: Factor, groupSize: Int,
        errors: UnsafeMutablePointer<Float>, _ result: QuantizedMatrix
    ) {
        let values = current.row(row)
        let codes = result.codes + row * result.columns
        var group = result.group(row: row, index: range.lowerBound / groupSize)
        for position in range {
            if position % groupSize == 0 {
                group = bestGroup(values + position, count: min(groupSize, current.columns - position)) {
                    let inverse = factor.inverse.row(position + $0)[position + $0]
                    return 1 / (inverse * inverse)
                }
                result.setGroup(group, row: row, index: position / groupSize)
            }
            let inverse = factor.inverse.row(position)
            let code = grid.code(values[position], group)
            let error = (values[position] - grid.value(code, group)) / inverse[position]
            codes[factor.order[position]] = UInt8(code)
            errors[position - range.lowerBound] = error
            for next in position + 1..<max(range.upperBound, position + 1) { values[next] -= error * inverse[next] }
        }
    }
}
