import MartletCheckpoints
import MartletGraph

/// A matrix of 8-bit floats with a scale per block of rows and columns: weight = code · scale.
struct Float8Weight: WeightSource {
    private let codes: StoredTensor
    private let scales: ScaleTable
    /// Columns that share a scale.
    private let groupSize: Int

    let encoding: WeightEncoding
    var rows: Int { codes.rows }
    var columns: Int { codes.columns }
    let byteCount: Int

    /// All shapes have been checked.
    init(_ codes: StoredTensor, _ scales: ScaleTable, groupSize: Int) {
        self.codes = codes
        self.scales = scales
        self.groupSize = groupSize
        byteCount = codes.descriptor.byteRange.count + scales.tensor.descriptor.byteRange.count
        encoding = groupSize % Self.blockColumns == 0 || groupSize >= codes.columns ? .f8 : .f32
    }

    /// Columns that share a scale in the kernels' layout.
    private static let blockColumns = 128

    func readRow(_ row: Int, into values: UnsafeMutablePointer<Float>) {
        codes.dequantizeRow(row, into: values)
        for start in stride(from: 0, to: columns, by: groupSize) {
            let scale = scales[row, start / groupSize]
            for column in start..<min(start + groupSize, columns) { values[column] *= scale }
        }
    }

    func readAffineRow(_ row: Int, into buffers: AffineRow) {
        let source = codes.source(row: row)
        for column in 0..<columns { buffers.codes[column] = source.load(fromByteOffset: column, as: UInt8.self) }
        for (block, start) in stride(from: 0, to: columns, by: Self.blockColumns).enumerated() {
            // The kernels' conversion knows no NaN: a fault in the file becomes one of the scale.
            let isNaN = (start..<min(start + Self.blockColumns, columns)).contains { buffers.codes[$0] & 0x7F == 0x7F }
            buffers.scales[block] = isNaN ? .nan : scales[row, start / groupSize]
        }
    }

    func release(rows released: Range<Int>) { codes.releasePages(rows: released) }
}
