import Foundation
import MartletCPU

/// AWQ (Lin et al. 2023, arXiv:2306.00978): columns that meet large activations are scaled up before rounding, and what makes
/// these activations is scaled down.
///
/// Every candidate is judged by the squared error of the layers' outputs on the calibration text, which is a quadratic form
/// of the weights' error: e (Xᵀ X) eᵀ. So the text itself is not needed again.
struct AWQ: Sendable {
    let settings: QuantizationSettings
    let grid: QuantizationGrid
    let workers: MatrixProduct

    /// Exponents that are tried, as in the paper.
    private static let exponents = (0..<20).map { Float($0) / 20 }
    /// Rows that judge a candidate, at most, of each matrix: evenly spaced ones.
    private static let judgingRows = 2048

    // MARK: Scales

    /// The factors for a group's input columns that make the least error.
    ///
    /// - Parameter sharing: the row of the layer before that makes each column; columns of one row get one factor. Nil where
    ///   each column has its own.
    func factors(_ weights: [Matrix], _ statistics: InputStatistics, sharing rows: [Int]?) -> [Float] {
        let activations = shared(statistics.meanMagnitudes, rows)
        let magnitudes = shared(meanMagnitudes(weights), rows)
        let judges = weights.map(judging)
        var best = [Float](repeating: 1, count: statistics.width)
        var least = error(judges, best, statistics)
        // The paper's s = x^a; and AutoAWQ's, which takes the weights' magnitude into account.
        for divides in [false, true] {
            for exponent in Self.exponents where divides || exponent > 0 {
                let factors = Self.normalized(
                    zip(activations, magnitudes).map { activation, magnitude in
                        pow(activation, exponent) / (divides ? pow(magnitude, 1 - exponent) + 1e-4 : 1)
                    })
                let error = error(judges, factors, statistics)
                if error < least { (least, best) = (error, factors) }
            }
        }
        return best
    }

    /// Around 1, and never so far from it that a column is lost.
    private static func normalized(_ factors: [Float]) -> [Float] {
        let clamped = factors.map { min(max($0.isFinite ? $0 : 1, 1e-4), 1e4) }
        let middle = ((clamped.max() ?? 1) * (clamped.min() ?? 1)).squareRoot()
        return clamped.map { $0 / middle }
    }

    /// The mean over the columns that one row makes.
    private func shared(_ values: [Float], _ rows: [Int]?) -> [Float] {
        guard let rows, let count = rows.max().map({ $0 + 1 }) else { return values }
        var sums = [Float](repeating: 0, count: count)
        for (column, row) in rows.enumerated() { sums[row] += values[column] }
        let columnsPerRow = Float(values.count / count)
        return rows.map { sums[$0] / columnsPerRow }
    }

    /// The mean over all rows of each column's magnitude, as a share of its group's largest.
    private func meanMagnitudes(_ weights: [Matrix]) -> [Float] {
        let columns = weights[0].columns
        let size = settings.groupSize ?? columns
        var sums = [Float](repeating: 0, count: columns)
        for weight in weights {
            for row in 0..<weight.rows {
                let values = weight.row(row)
                for first in stride(from: 0, to: columns, by: size) {
                    var largest: Float = 1e-12
                    for column in first..<first + size { largest = max(largest, values[column].magnitude) }
                    for column in first..<first + size { sums[column] += values[column].magnitude / largest }
                }
            }
        }
        let rows = Float(weights.reduce(0) { $0 + $1.rows })
        return sums.map { $0 / rows }
    }

    private func judging(_ weight: Matrix) -> Matrix {
        guard weight.rows > Self.judgingRows else { return weight }
        let result = Matrix(rows: Self.judgingRows, columns: weight.columns)
        for row in 0..<result.rows {
            result.row(row).update(from: weight.row(row * weight.rows / result.rows), count: weight.columns)
        }
        return result
    }

    /// The squared error of the outputs if the columns were scaled by `factors` and rounded.
    private func error(_ weights: [Matrix], _ factors: [Float], _ statistics: InputStatistics) -> Double {
        weights.reduce(0) { sum, weight in
            let errors = Matrix(rows: weight.rows, columns: weight.columns)
            let size = settings.groupSize ?? weight.columns
            workers.forEach(weight.rows) { row, _ in
                let (values, out) = (weight.row(row), errors.row(row))
                for first in stride(from: 0, to: weight.columns, by: size) {
                    for column in first..<first + size { out[column] = values[column] * factors[column] }
                    let group = grid.group(out + first, count: size)
                    for column in first..<first + size {
                        let rounded = grid.value(grid.code(out[column], group), group)
                        out[column] = rounded / factors[column] - values[column]
                    }
                }
            }
            return sum + Self.quadraticForm(errors, statistics.gram.strided, on: workers)
        }
    }

    /// The sum of e G eᵀ over rows e.
    static func quadraticForm(_ errors: Matrix, _ gram: StridedMatrix, on workers: MatrixProduct) -> Double {
        rowForms(errors.strided, gram, on: workers).reduce(0) { $0 + Double($1) }
    }

    /// e G eᵀ for every row e.
    private static func rowForms(
        _ errors: StridedMatrix, _ gram: StridedMatrix, on workers: MatrixProduct
    ) -> [Float] {
        let products = Matrix(rows: errors.rows, columns: errors.columns)
        workers.add(errors, gram, to: products.strided)
        let forms = Matrix(rows: 1, columns: errors.rows)
        workers.forEach(errors.rows) { row, _ in
            let (a, b) = (errors.base + row * errors.rowStride, products.row(row))
            var sum: Float = 0
            for column in 0..<errors.columns { sum += a[column] * b[column] }
            forms.base[row] = sum
        }
        return Array(forms.floats)
    }

    // MARK: Clipping

    /// For each row and group the range to keep: what is cut off costs less than what a finer grid brings.
    ///
    /// The paper cuts both ends at one magnitude, and leaves queries and keys alone. Judged by the outputs' error, each end on
    /// its own is never worse.
    ///
    /// - Returns: the lowest and the highest value, `[rows][groups]`.
    func ranges(_ weight: Matrix, _ statistics: InputStatistics) -> [SIMD2<Float>] {
        let size = settings.groupSize ?? weight.columns
        let groups = weight.columns / size
        let errors = Matrix(rows: weight.rows, columns: size)
        var ranges = [SIMD2<Float>](repeating: .zero, count: weight.rows * groups)
        for index in 0..<groups {
            let columns = index * size..<(index + 1) * size
            let gram = statistics.gram.part(rows: columns, columns: columns)
            let whole = (0..<weight.rows).map { row in
                QuantizationGrid.range(weight.row(row) + columns.lowerBound, count: size)
            }
            var least = [Float](repeating: .infinity, count: weight.rows)
            for share in grid.shares {
                workers.forEach(weight.rows) { row, _ in
                    let (values, out) = (weight.row(row) + columns.lowerBound, errors.row(row))
                    let range = share * whole[row]
                    let group = grid.group(low: range[0], high: range[1])
                    for column in 0..<size {
                        out[column] = grid.value(grid.code(values[column], group), group) - values[column]
                    }
                }
                for (row, form) in Self.rowForms(errors.strided, gram, on: workers).enumerated()
                where form < least[row] {
                    least[row] = form
                    ranges[row * groups + index] = share * whole[row]
                }
            }
        }
        return ranges
    }
}
