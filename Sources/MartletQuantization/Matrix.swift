import Glibc
package import MartletCPU
import MartletGraph

/// A dense row-major float32 matrix.
///
/// Workers write different rows of one at the same time, so it is memory with a shape and not a Swift array.
package final class Matrix: @unchecked Sendable {
    package let rows: Int
    package let columns: Int
    package let base: UnsafeMutablePointer<Float>

    /// Zeros.
    package init(rows: Int, columns: Int) {
        self.rows = rows
        self.columns = columns
        // A cache line's alignment, so that rows whose width allows it never straddle one.
        let count = max(rows * columns, 1)
        base = UnsafeMutableRawPointer.allocate(byteCount: count * MemoryLayout<Float>.stride, alignment: 64)
            .bindMemory(to: Float.self, capacity: count)
        base.initialize(repeating: 0, count: count)
    }

    deinit { base.deallocate() }

    package func row(_ index: Int) -> UnsafeMutablePointer<Float> {
        assert(index >= 0 && index < rows)
        return base + index * columns
    }

    package var floats: UnsafeMutableBufferPointer<Float> {
        UnsafeMutableBufferPointer(start: base, count: rows * columns)
    }

    package var strided: StridedMatrix { StridedMatrix(base, rows: rows, columns: columns, rowStride: columns) }

    /// Rows and columns of it.
    package func part(rows: Range<Int>, columns: Range<Int>) -> StridedMatrix { strided[rows, columns] }

    package func copy() -> Matrix {
        let copy = Matrix(rows: rows, columns: columns)
        memcpy(copy.base, base, rows * columns * MemoryLayout<Float>.stride)
        return copy
    }

    package var isFinite: Bool {
        // A sum of x - x is 0 unless an element is infinite or not a number.
        var sum: Float = 0
        for value in floats { sum += value - value }
        return sum == 0
    }
}

/// A matrix as the CPU backend packs it.
struct MatrixWeight: WeightSource {
    let matrix: Matrix

    var rows: Int { matrix.rows }
    var columns: Int { matrix.columns }
    var encoding: WeightEncoding { .f32 }
    var byteCount: Int { rows * columns * MemoryLayout<Float>.stride }

    func readRow(_ row: Int, into values: UnsafeMutablePointer<Float>) {
        values.update(from: matrix.row(row), count: columns)
    }

    func readAffineRow(_ row: Int, into buffers: AffineRow) { preconditionFailure("float32 has no codes") }

    func release(rows: Range<Int>) {}
}
