import MartletCPU

/// A linear layer's weight `[rows, columns]` as codes, whatever file format it will have.
package final class QuantizedMatrix: @unchecked Sendable {
    package let rows: Int
    package let columns: Int
    package let bits: Int
    package let isSymmetric: Bool
    /// Columns of a group; the last group may have fewer.
    package let groupSize: Int
    /// `[rows][columns]`, unsigned.
    package let codes: UnsafeMutablePointer<UInt8>
    /// `[rows][groups]`, as a reader of the file will see them.
    package let scales: UnsafeMutablePointer<Float>
    /// `[rows][groups]`: the codes that mean 0.
    package let zeros: UnsafeMutablePointer<UInt8>
    /// The group of each column where columns were quantized in an order of their own (GPTQ's `desc_act`); nil for runs.
    package let groupIndex: [Int32]?

    package var groups: Int { (columns + groupSize - 1) / groupSize }

    init(rows: Int, columns: Int, groupSize: Int?, grid: QuantizationGrid, groupIndex: [Int32]? = nil) {
        self.rows = rows
        self.columns = columns
        self.groupSize = groupSize ?? columns
        bits = grid.bits
        isSymmetric = grid.isSymmetric
        self.groupIndex = groupIndex
        codes = .allocate(capacity: rows * columns)
        codes.initialize(repeating: 0, count: rows * columns)
        let groups = (columns + self.groupSize - 1) / self.groupSize
        scales = .allocate(capacity: rows * groups)
        scales.initialize(repeating: 0, count: rows * groups)
        zeros = .allocate(capacity: rows * groups)
        zeros.initialize(repeating: 0, count: rows * groups)
    }

    deinit {
        codes.deallocate()
        scales.deallocate()
        zeros.deallocate()
    }

    func setGroup(_ group: QuantizationGrid.Group, row: Int, index: Int) {
        scales[row * groups + index] = group.scale
        zeros[row * groups + index] = UInt8(group.zero)
    }

    func group(row: Int, index: Int) -> QuantizationGrid.Group {
        .init(scale: scales[row * groups + index], zero: Float(zeros[row * groups + index]))
    }

    /// The weights that a reader of the file computes.
    package func dequantized() -> Matrix {
        let matrix = Matrix(rows: rows, columns: columns)
        for row in 0..<rows {
            let output = matrix.row(row)
            for column in 0..<columns {
                let index = groupIndex.map { Int($0[column]) } ?? column / groupSize
                let group = group(row: row, index: index)
                output[column] = group.scale * (Float(codes[row * columns + column]) - group.zero)
            }
        }
        return matrix
    }

    /// Rounds every weight to the nearest value of its group's grid.
    ///
    /// - Parameter ranges: the lowest and highest value of each group to represent, `[rows][groups]`; nil for all that there is.
    static func rounded(
        _ weight: Matrix, groupSize: Int?, grid: QuantizationGrid, ranges: [SIMD2<Float>]? = nil,
        on workers: MatrixProduct
    ) -> QuantizedMatrix {
        let result = QuantizedMatrix(
            rows: weight.rows, columns: weight.columns, groupSize: groupSize, grid: grid)
        let size = result.groupSize
        workers.forEach(weight.rows) { row, _ in
            for index in 0..<result.groups {
                let values = weight.row(row) + index * size
                let codes = result.codes + row * result.columns + index * size
                let count = min(size, result.columns - index * size)
                let range = ranges?[row * result.groups + index] ?? QuantizationGrid.range(values, count: count)
                let group = grid.group(low: range[0], high: range[1])
                for column in 0..<count { codes[column] = UInt8(grid.code(values[column], group)) }
                result.setGroup(group, row: row, index: index)
            }
        }
        return result
    }
}
