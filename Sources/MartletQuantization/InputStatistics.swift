import MartletCPU

/// What calibration keeps of the rows that a group of linear layers was given: enough for every method, and its size does
/// not depend on the number of rows.
///
/// Some models give the first token of a text, which attention falls back on, inputs hundreds of times as large as any other
/// (Sun et al. 2024, arXiv:2402.17762): squared, one row would outweigh a thousand and all others would be rounded carelessly. So
/// rows count as if they were at most `largestRow` times as long as the median of their sample.
final class InputStatistics {
    let width: Int
    private(set) var count = 0
    /// Xᵀ X, `[width, width]`. The squared error of a layer's output is then a quadratic form of its weights' error.
    let gram: Matrix
    /// ΔXᵀ X, `[width, width]`, where ΔX is what the inputs lost because earlier layers are quantized; nil where it was not
    /// asked for.
    let loss: Matrix?
    private var sums: [Float]
    private static let largestRow: Float = 8
    /// The largest magnitude of each column.
    private(set) var largest: [Float]

    init(width: Int, keepsLoss: Bool = false) {
        self.width = width
        loss = keepsLoss ? Matrix(rows: width, columns: width) : nil
        gram = Matrix(rows: width, columns: width)
        sums = Array(repeating: 0, count: width)
        largest = sums
    }

    /// The mean magnitude of each column.
    var meanMagnitudes: [Float] { sums.map { $0 / Float(max(count, 1)) } }

    /// Adds the rows `[tokens, width]` of a sample.
    ///
    /// - Parameter exact: the rows that the unquantized model gives; needed for `loss`.
    func add(_ sample: StridedMatrix, exact: StridedMatrix? = nil, on workers: MatrixProduct) {
        precondition(sample.columns == width)
        let (rows, factors) = Self.bounded(sample, on: workers)
        workers.add(rows.strided.transposed, rows.strided, to: gram.strided, lowerOnly: true)
        if let loss, let exact {
            let differences = Matrix(rows: sample.rows, columns: width)
            workers.forEach(sample.rows) { index, _ in
                let (a, b) = (exact.base + index * exact.rowStride, sample.base + index * sample.rowStride)
                let target = differences.row(index)
                for column in 0..<differences.columns { target[column] = factors[index] * (a[column] - b[column]) }
            }
            workers.add(differences.strided.transposed, rows.strided, to: loss.strided)
        }
        for index in 0..<rows.rows {
            let row = rows.row(index)
            sums.withUnsafeMutableBufferPointer { sums in
                largest.withUnsafeMutableBufferPointer { largest in
                    for column in 0..<width {
                        let magnitude = row[column].magnitude
                        sums[column] += magnitude
                        largest[column] = magnitude > largest[column] ? magnitude : largest[column]
                    }
                }
            }
        }
        count += rows.rows
    }

    /// A copy with long rows shortened, and what they were multiplied by.
    private static func bounded(_ sample: StridedMatrix, on workers: MatrixProduct) -> (rows: Matrix, factors: [Float])
    {
        let rows = Matrix(rows: sample.rows, columns: sample.columns)
        let lengths = Matrix(rows: 1, columns: max(sample.rows, 1))
        workers.forEach(sample.rows) { index, _ in
            let source = sample.base + index * sample.rowStride
            var square: Float = 0
            for column in 0..<sample.columns { square += source[column] * source[column] }
            lengths.base[index] = square.squareRoot()
        }
        let longest = largestRow * lengths.floats.sorted()[sample.rows / 2]
        // What is not a number stays so, and is found in the end.
        let factors = lengths.floats.map { longest > 0 && $0 > longest ? longest / $0 : 1 }
        workers.forEach(sample.rows) { index, _ in
            let (source, target) = (sample.base + index * sample.rowStride, rows.row(index))
            for column in 0..<sample.columns { target[column] = factors[index] * source[column] }
        }
        return (rows, factors)
    }

    /// Fills the upper triangle, once all rows are there.
    ///
    /// - Throws: `QuantizationError` if a row was not finite.
    func finish(_ name: String, on workers: MatrixProduct) throws(QuantizationError) {
        let (gram, width) = (gram, width)
        workers.forEach(width) { row, _ in
            for column in row + 1..<max(width, row + 1) { gram.row(row)[column] = gram.row(column)[row] }
        }
        guard gram.isFinite else {
            throw QuantizationError(
                "the inputs of \(name) are infinite or not numbers on the calibration text: its Hessian is not finite")
        }
    }

    /// What the statistics would be had each column been divided by its factor.
    func divide(by factors: [Float], on workers: MatrixProduct) {
        for matrix in [gram, loss].compactMap({ $0 }) {
            workers.forEach(width) { row, _ in
                let values = matrix.row(row)
                for column in 0..<matrix.columns { values[column] /= factors[row] * factors[column] }
            }
        }
        for column in 0..<width {
            sums[column] /= factors[column]
            largest[column] /= factors[column]
        }
    }
}
