import MartletCPU

/// What calibration keeps of the rows that a group of linear layers was given: enough for every method, and its size does
/// not depend on the number of rows.
final class InputStatistics {
    let width: Int
    private(set) var count = 0
    /// Xᵀ X, `[width, width]`. The squared error of a layer's output is then a quadratic form of its weights' error.
    let gram: Matrix
    private var sums: [Float]
    /// The largest magnitude of each column.
    private(set) var largest: [Float]

    init(width: Int) {
        self.width = width
        gram = Matrix(rows: width, columns: width)
        sums = Array(repeating: 0, count: width)
        largest = sums
    }

    /// The mean magnitude of each column.
    var meanMagnitudes: [Float] { sums.map { $0 / Float(max(count, 1)) } }

    /// Adds rows `[tokens, width]`.
    func add(_ rows: StridedMatrix, on workers: MatrixProduct) {
        precondition(rows.columns == width)
        workers.add(rows.transposed, rows, to: gram.strided, lowerOnly: true)
        for index in 0..<rows.rows {
            let row = rows.base + index * rows.rowStride
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
        let gram = gram
        workers.forEach(width) { row, _ in
            let values = gram.row(row)
            for column in 0..<gram.columns { values[column] /= factors[row] * factors[column] }
        }
        for column in 0..<width {
            sums[column] /= factors[column]
            largest[column] /= factors[column]
        }
    }
}
