import MartletCPU

/// Blocked Cholesky decomposition and triangular inverse in float32; nearly all of the work is in `MatrixProduct`.
enum Cholesky {
    private static let block = 64

    /// Replaces the lower triangle of a symmetric matrix A by L with A = L Lᵀ, and what is above by zeros.
    ///
    /// - Returns: false if A is not positive definite in float32; its contents are lost then.
    static func factorize(_ a: Matrix, on workers: MatrixProduct) -> Bool {
        precondition(a.rows == a.columns)
        let size = a.rows
        for first in stride(from: 0, to: size, by: block) {
            let end = min(first + block, size)
            guard factorizeDiagonal(a, first..<end) else { return false }
            guard end < size else { break }
            // L21 = A21 L11⁻ᵀ, row by row.
            workers.forEach(size - end) { item, _ in
                let row = a.row(end + item)
                for column in first..<end {
                    row[column] = (row[column] - dot(row, a.row(column), first..<column)) / a.row(column)[column]
                }
            }
            let panel = a.part(rows: end..<size, columns: first..<end)
            workers.add(
                panel, panel.transposed, to: a.part(rows: end..<size, columns: end..<size), scale: -1, lowerOnly: true)
        }
        workers.forEach(size) { row, _ in
            for column in row + 1..<max(size, row + 1) { a.row(row)[column] = 0 }
        }
        return true
    }

    private static func factorizeDiagonal(_ a: Matrix, _ range: Range<Int>) -> Bool {
        for row in range {
            let values = a.row(row)
            for column in range.lowerBound..<row {
                let sum = dot(values, a.row(column), range.lowerBound..<column)
                values[column] = (values[column] - sum) / a.row(column)[column]
            }
            let pivot = values[row] - dot(values, values, range.lowerBound..<row)
            // Written so that NaN fails too.
            guard pivot > 0, pivot.isFinite else { return false }
            values[row] = pivot.squareRoot()
        }
        return true
    }

    /// Replaces a lower triangular matrix by its inverse, which is lower triangular too.
    static func invert(_ l: Matrix, on workers: MatrixProduct) {
        let size = l.rows
        let sums = Matrix(rows: block, columns: size)
        let diagonal = Matrix(rows: block, columns: block)
        for first in stride(from: 0, to: size, by: block) {
            let rows = first..<min(first + block, size)
            let inverse = diagonal.part(rows: 0..<rows.count, columns: 0..<rows.count)
            invertDiagonal(l, rows, into: diagonal)
            if first > 0 {
                // X21 = -L22⁻¹ (L21 X11), where X11 is the inverse so far. It is zero above its diagonal.
                sums.floats.update(repeating: 0)
                for left in stride(from: 0, to: first, by: Self.strip) {
                    let columns = left..<min(left + Self.strip, first)
                    workers.add(
                        l.part(rows: rows, columns: left..<first), l.part(rows: left..<first, columns: columns),
                        to: sums.part(rows: 0..<rows.count, columns: columns))
                }
                let target = l.part(rows: rows, columns: 0..<first)
                for row in 0..<target.rows { (target.base + row * target.rowStride).update(repeating: 0, count: first) }
                workers.add(
                    inverse, sums.part(rows: 0..<rows.count, columns: 0..<first), to: target, scale: -1)
            }
            for row in rows {
                for column in rows { l.row(row)[column] = inverse.base[(row - first) * block + column - first] }
            }
        }
    }

    private static let strip = 512

    private static func invertDiagonal(_ l: Matrix, _ range: Range<Int>, into inverse: Matrix) {
        inverse.floats.update(repeating: 0)
        let first = range.lowerBound
        for column in range {
            for row in column..<range.upperBound {
                var sum: Float = row == column ? 1 : 0
                for middle in column..<row {
                    sum -= l.row(row)[middle] * inverse.row(middle - first)[column - first]
                }
                inverse.row(row - first)[column - first] = sum / l.row(row)[row]
            }
        }
    }

    @inline(__always)
    private static func dot(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ range: Range<Int>
    ) -> Float {
        var sum = SIMD16<Float>.zero
        var index = range.lowerBound
        while index + 16 <= range.upperBound {
            let x = UnsafeRawPointer(a + index).loadUnaligned(as: SIMD16<Float>.self)
            let y = UnsafeRawPointer(b + index).loadUnaligned(as: SIMD16<Float>.self)
            sum.addProduct(x, y)
            index += 16
        }
        var rest = sum.sum()
        while index < range.upperBound {
            rest += a[index] * b[index]
            index += 1
        }
        return rest
    }
}
