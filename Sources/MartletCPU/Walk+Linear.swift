import CKernels
import Glibc
import MartletGraph

extension Walk {
    /// out = x Wᵀ (+ bias) (+ residual); items are panels of 16 output columns.
    func linear(_ matrix: MatrixView, _ x: Rows, _ residual: Rows?, _ out: Rows) {
        let rowCount = count(out)
        guard rowCount > 0 else { return }
        forEachItem(of: matrix.panelCount, grain: panelGrain(matrix.panelCount, run: matrix.runPanels, rowCount)) {
            range in
            var first = 0
            for segment in matrix.segments {
                let begin = max(range.lowerBound, first)
                let end = min(range.upperBound, first &+ segment.panelCount)
                if begin < end {
                    linear(segment, panels: begin &- first..<end &- first, matrix, x, residual, out, rowCount)
                }
                first &+= segment.panelCount
            }
        }
    }

    /// Items that a worker takes at once: an eighth of its share, so that uneven cores balance each other.
    ///
    /// With few rows memory is the limit, and every jump costs the hardware prefetchers a new start: then a piece is at least
    /// `run` items long, or the whole share.
    @inline(__always)
    private func panelGrain(_ items: Int, run: Int, _ rowCount: Int) -> Int {
        let share = max(1, (items &+ workerCount &- 1) / workerCount)
        let piece = max(1, (share &+ 7) / 8)
        return rowCount > 8 ? piece : min(share, max(piece, run))
    }

    private func linear(
        _ segment: PackedMatrix.Segment, panels: Range<Int>, _ matrix: MatrixView, _ x: Rows, _ residual: Rows?,
        _ out: Rows, _ rowCount: Int
    ) {
        if let residual, residual.base != out.base { copy(residual, to: out, segment, panels, rowCount) }
        var job = ck_linear(
            weights: segment.panels, activations: x.base,
            bias: matrix.bias.map { UnsafePointer($0 + segment.firstRow) },
            output: out.floats + segment.firstRow, columns: Int64(segment.columns), rows: Int64(segment.rows),
            tokens: Int64(rowCount), output_stride: Int64(out.stride), accumulate: residual == nil ? 0 : 1)
        ck_run_linear(
            kernels, segment.layout, x.format.kernelFormat, &job, Int64(panels.lowerBound), Int64(panels.upperBound))
    }

    /// The residual's columns of some panels, where the planner could not let the product work in place.
    private func copy(
        _ residual: Rows, to out: Rows, _ segment: PackedMatrix.Segment, _ panels: Range<Int>, _ rowCount: Int
    ) {
        let panelRows = CK_PANEL
        let begin = segment.firstRow &+ panels.lowerBound &* panelRows
        let end = segment.firstRow &+ min(panels.upperBound &* panelRows, segment.rows)
        for row in 0..<rowCount {
            memcpy(out.row(row) + begin, residual.row(row) + begin, (end &- begin) &* MemoryLayout<Float>.size)
        }
    }

    /// out = silu(x Wgᵀ) · x Wuᵀ. Panels of gate and up alternate; an item is a unit of 64 output columns, whose gate
    /// and up stay in the worker's scratch for a block of tokens and leave it only as the product.
    func linearSwiGLU(_ matrix: MatrixView, _ x: Rows, _ out: Rows, _ worker: Int) {
        let rowCount = count(out)
        let panelRows = CK_PANEL
        let unitColumns = WorkerScratch.swiGLUColumns
        let unitPanels = 2 &* unitColumns / panelRows
        let segment = matrix.segments[0]
        let gateUp = scratch[worker].gateUp
        let product = scratch[worker].row
        let gateUpStride = 2 &* unitColumns
        let unitCount = (out.width &+ unitColumns &- 1) / unitColumns
        forEachItem(
            of: unitCount,
            grain: rowCount > 8 ? 1 : panelGrain(unitCount, run: max(1, matrix.runPanels / unitPanels), rowCount)
        ) { range in
            for unit in range {
                let columns = unit &* unitColumns..<min((unit &+ 1) &* unitColumns, out.width)
                let firstPanel = unit &* unitPanels
                let lastPanel = min(firstPanel &+ unitPanels, segment.panelCount)
                for block in stride(from: 0, to: rowCount, by: WorkerScratch.swiGLUTokens) {
                    let blockTokens = min(WorkerScratch.swiGLUTokens, rowCount &- block)
                    var job = ck_linear(
                        weights: segment.panels, activations: x.base + block &* x.format.rowBytes(x.width), bias: nil,
                        // The kernel writes panel p to column 16 p: the unit's first panel lands on the scratch's start.
                        output: gateUp - firstPanel &* panelRows, columns: Int64(segment.columns),
                        rows: Int64(segment.rows), tokens: Int64(blockTokens), output_stride: Int64(gateUpStride),
                        accumulate: 0)
                    ck_run_linear(
                        kernels, segment.layout, x.format.kernelFormat, &job, Int64(firstPanel), Int64(lastPanel))
                    for token in 0..<blockTokens {
                        let pair = gateUp + token &* gateUpStride
                        let target = out.format == .f32 ? out.row(block &+ token) + columns.lowerBound : product
                        for column in stride(from: 0, to: columns.count, by: panelRows) {
                            kernels.pointee.silu_multiply(
                                pair + 2 &* column, pair + 2 &* column + panelRows,
                                Int64(min(panelRows, columns.count &- column)), target + column)
                        }
                        if out.format != .f32 { store(product, columns: columns, row: block &+ token, of: out) }
                    }
                }
            }
        }
    }
}

extension ActivationFormat {
    /// The kernels' name of the format.
    var kernelFormat: ck_activation {
        switch self {
        case .f32: CK_ACT_F32
        case .q8: CK_ACT_Q8
        case .q16: CK_ACT_Q16
        case .bf16: CK_ACT_BF16
        }
    }
}
