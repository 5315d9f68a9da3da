import CKernels

/// A float32 matrix in somebody else's memory, with any strides: element (i, j) lies at `base[i * rowStride + j * columnStride]`.
package struct StridedMatrix: @unchecked Sendable {
    package var base: UnsafeMutablePointer<Float>
    package var rows: Int
    package var columns: Int
    package var rowStride: Int
    package var columnStride: Int

    package init(
        _ base: UnsafeMutablePointer<Float>, rows: Int, columns: Int, rowStride: Int, columnStride: Int = 1
    ) {
        self.base = base
        self.rows = rows
        self.columns = columns
        self.rowStride = rowStride
        self.columnStride = columnStride
    }

    package var transposed: StridedMatrix {
        StridedMatrix(base, rows: columns, columns: rows, rowStride: columnStride, columnStride: rowStride)
    }

    package subscript(rows: Range<Int>, columns: Range<Int>) -> StridedMatrix {
        precondition(rows.lowerBound >= 0 && rows.upperBound <= self.rows)
        precondition(columns.lowerBound >= 0 && columns.upperBound <= self.columns)
        return StridedMatrix(
            base + rows.lowerBound * rowStride + columns.lowerBound * columnStride, rows: rows.count,
            columns: columns.count, rowStride: rowStride, columnStride: columnStride)
    }
}

/// Products of float32 matrices on all workers, by the kernel of float32 linear layers: for offline work such as quantizing.
///
/// One product or loop at a time: closures that run on the workers may hold it, and must not call it.
package final class MatrixProduct: @unchecked Sendable {
    private let kernels: UnsafePointer<ck_kernels>
    private let pool: WorkerPool
    private let left: AlignedMemory
    private let right: AlignedMemory

    /// Packed parts of the operands: a block of `a` stays in a core's cache, a strip of `b` in the shared one.
    private static let depth = 256
    private static let rowBlock = 32
    private static let rowsPerPass = 4096
    private static let strip = 1024

    /// - Parameter instructionSet: a name to force it, or nil for the best that the CPU has.
    package init(threads: Int, instructionSet: String? = nil) throws(CPUBackendError) {
        precondition(threads > 0)
        guard let kernels = ck_select(instructionSet) else { throw .unknownInstructionSet(instructionSet ?? "best") }
        self.kernels = kernels
        pool = WorkerPool(count: threads)
        left = try AlignedMemory(byteCount: Self.rowsPerPass * Self.depth * MemoryLayout<Float>.size)
        right = try AlignedMemory(byteCount: Self.strip * Self.depth * MemoryLayout<Float>.size)
    }

    package var threads: Int { pool.count }

    /// Runs `body` for 0 ..< `items`, shared among the workers.
    package func forEach(_ items: Int, _ body: @Sendable (_ item: Int, _ worker: Int) -> Void) {
        pool.forEach(items, body)
    }

    /// c += scale · a b.
    ///
    /// - Parameters:
    ///   - a: `[m, k]`.
    ///   - b: `[k, n]`.
    ///   - c: `[m, n]`, with a column stride of 1.
    ///   - lowerOnly: what lies above the diagonal of `c` need not be computed (some of it is).
    package func add(
        _ a: StridedMatrix, _ b: StridedMatrix, to c: StridedMatrix, scale: Float = 1, lowerOnly: Bool = false
    ) {
        precondition(a.columns == b.rows && a.rows == c.rows && b.columns == c.columns && c.columnStride == 1)
        for firstRow in stride(from: 0, to: c.rows, by: Self.rowsPerPass) {
            let rows = firstRow..<min(firstRow + Self.rowsPerPass, c.rows)
            for firstDepth in stride(from: 0, to: a.columns, by: Self.depth) {
                let depth = firstDepth..<min(firstDepth + Self.depth, a.columns)
                pack(a[rows, depth], scale: scale)
                let columns = lowerOnly ? min(c.columns, rows.upperBound) : c.columns
                for firstColumn in stride(from: 0, to: columns, by: Self.strip) {
                    let strip = firstColumn..<min(firstColumn + Self.strip, columns)
                    pack(panelsOf: b[depth, strip])
                    multiply(
                        depth: depth.count, into: c[rows, strip],
                        diagonal: lowerOnly ? firstRow - firstColumn : nil)
                }
            }
        }
    }

    private func pack(_ a: StridedMatrix, scale: Float) {
        let target = StridedMatrix(
            left.base.assumingMemoryBound(to: Float.self), rows: a.rows, columns: a.columns, rowStride: a.columns)
        pool.forEach((a.rows + Self.rowBlock - 1) / Self.rowBlock) { block, _ in
            let rows = block * Self.rowBlock..<min((block + 1) * Self.rowBlock, a.rows)
            if a.columnStride == 1 {
                for row in rows {
                    let (source, out) = (a.base + row * a.rowStride, target.base + row * target.rowStride)
                    for column in 0..<a.columns { out[column] = scale * source[column] }
                }
            } else {
                for column in 0..<a.columns {
                    let source = a.base + column * a.columnStride
                    for row in rows { target.base[row * a.columns + column] = scale * source[row * a.rowStride] }
                }
            }
        }
    }

    /// Panels of 16 columns `[depth][16]`; the last one is padded with zeros.
    private func pack(panelsOf b: StridedMatrix) {
        let target = StridedMatrix(
            right.base.assumingMemoryBound(to: Float.self), rows: 0, columns: 0, rowStride: 0)
        let width = CK_PANEL
        pool.forEach((b.columns + width - 1) / width) { panel, _ in
            var out = target.base + panel * b.rows * width
            let first = panel * width
            let count = min(width, b.columns - first)
            for row in 0..<b.rows {
                let source = b.base + row * b.rowStride + first * b.columnStride
                for lane in 0..<count { out[lane] = source[lane * b.columnStride] }
                for lane in count..<width { out[lane] = 0 }
                out += width
            }
        }
    }

    /// - Parameter diagonal: column of `c` that its row 0 ends at, where only the lower triangle is wanted.
    private func multiply(depth: Int, into c: StridedMatrix, diagonal: Int?) {
        let (a, b) = (Address(left.base), Address(right.base))
        let kernels = Kernels(table: kernels)
        let width = CK_PANEL
        let panels = (c.columns + width - 1) / width
        pool.forEach((c.rows + Self.rowBlock - 1) / Self.rowBlock) { block, _ in
            let first = block * Self.rowBlock
            let count = min(Self.rowBlock, c.rows - first)
            let wanted = diagonal.map { min(max($0 + first + count, 0) + width - 1, c.columns + width - 1) / width }
            var job = ck_linear(
                weights: b.raw, activations: a.raw + first * depth * MemoryLayout<Float>.size, bias: nil,
                output: c.base + first * c.rowStride, columns: Int64(depth), rows: Int64(c.columns),
                tokens: Int64(count), output_stride: Int64(c.rowStride), accumulate: 1)
            let end = min(wanted ?? panels, panels)
            if end > 0 { ck_run_linear(kernels.table, CK_F32, CK_ACT_F32, &job, 0, Int64(end)) }
        }
    }

    private struct Address: @unchecked Sendable {
        let raw: UnsafeMutableRawPointer
        init(_ raw: UnsafeMutableRawPointer) { self.raw = raw }
    }

    private struct Kernels: @unchecked Sendable {
        let table: UnsafePointer<ck_kernels>
    }
}
