import CKernels
import Glibc
import MartletGraph

extension Walk {
    /// Calls `body` for this worker's rows of an operand.
    @inline(__always)
    func forEachRow(_ operand: Rows, _ body: (Int) -> Void) {
        let total = count(operand)
        // One row at a time while there are few; runs of up to 16 when there are many, so that the cursor is no cost.
        let grain = max(1, min(16, total / (4 &* workerCount)))
        forEachItem(of: total, grain: grain) { range in
            for row in range { body(row) }
        }
    }

    /// Writes a float row into an operand, in the operand's format.
    @inline(__always)
    func store(_ values: UnsafePointer<Float>, row: Int, of out: Rows) {
        if out.format == .f32 {
            memcpy(out.row(row), values, out.width &* MemoryLayout<Float>.size)
        } else {
            store(values, columns: 0..<out.width, row: row, of: out)
        }
    }

    /// Writes some columns of a converted row: they start at a group's first column, and end at one or at the row's end.
    func store(_ values: UnsafePointer<Float>, columns: Range<Int>, row: Int, of out: Rows) {
        store(values, columns: columns, row: row, of: count(out), out)
    }

    /// The same in an operand that has `rows` rows.
    func store(_ values: UnsafePointer<Float>, columns: Range<Int>, row: Int, of rows: Int, _ out: Rows) {
        let tileTokens = CK_TILE
        let first = row / tileTokens &* tileTokens
        let inTile = min(tileTokens, rows &- first)
        let padded = out.format.paddedColumns(out.width)
        let end = columns.upperBound == out.width ? padded : columns.upperBound
        let tile = out.base + first &* out.format.rowBytes(out.width)
        let place = tile + out.format.bytes(before: columns.lowerBound) &* inTile
        let width = Int64(columns.count)
        let paddedWidth = Int64(end &- columns.lowerBound)
        switch out.format {
        case .q8:
            kernels.pointee.quantize_q8(values, width, paddedWidth, place, Int64(inTile), Int64(row &- first))
        case .q16:
            kernels.pointee.quantize_q16(values, width, paddedWidth, place, Int64(inTile), Int64(row &- first))
        case .bf16:
            kernels.pointee.convert_bf16(values, width, paddedWidth, place, Int64(inTile), Int64(row &- first))
        case .f32:
            memcpy(out.row(row) + columns.lowerBound, values, columns.count &* MemoryLayout<Float>.size)
        }
    }

    func embed(_ matrix: Unmanaged<PackedMatrix>, _ out: Rows) {
        matrix._withUnsafeGuaranteedRef { matrix in
            forEachRow(out) { row in matrix.unpackRow(Int(tokens[row]), into: out.row(row)) }
        }
    }

    func features(column: Int, _ out: Rows) {
        forEachRow(out) { row in
            let bytes = out.width &* MemoryLayout<Float>.size
            if let source = features[row] {
                memcpy(out.row(row), source + column, bytes)
            } else {
                memset(out.row(row), 0, bytes)
            }
        }
    }

    func replaceByFeatures(_ x: Rows, _ out: Rows) {
        forEachRow(out) { row in
            let source = features[row] ?? UnsafePointer(x.row(row))
            if source != out.row(row) { memcpy(out.row(row), source, out.width &* MemoryLayout<Float>.size) }
        }
    }

    func groupRows(_ count: Int, _ x: Rows, _ out: Rows) {
        forEachRow(out) { row in
            for part in 0..<count {
                memcpy(
                    out.row(row) + part &* x.width, x.row(row &* count &+ part), x.width &* MemoryLayout<Float>.size)
            }
        }
    }

    func reorder(_ order: UnsafePointer<Int32>, _ x: Rows, _ out: Rows, _ worker: Int) {
        let temporary = scratch[worker].row
        forEachRow(out) { row in
            let source = x.row(row)
            let target = out.format == .f32 ? out.row(row) : temporary
            for column in 0..<out.width { target[column] = source[Int(order[column])] }
            if out.format != .f32 { store(temporary, row: row, of: out) }
        }
    }

    func layerNorm(
        _ weight: UnsafePointer<Float>, _ bias: UnsafePointer<Float>, _ epsilon: Float, _ x: Rows, _ out: Rows,
        _ worker: Int
    ) {
        let temporary = scratch[worker].row
        forEachRow(out) { row in
            let target = out.format == .f32 ? out.row(row) : temporary
            kernels.pointee.layer_norm(x.row(row), weight, bias, epsilon, Int64(out.width), target)
            if out.format != .f32 { store(temporary, row: row, of: out) }
        }
    }

    func gelu(_ kind: ck_gelu, _ x: Rows, _ out: Rows, _ worker: Int) {
        let temporary = scratch[worker].row
        forEachRow(out) { row in
            let target = out.format == .f32 ? out.row(row) : temporary
            ck_run_gelu(kernels, kind, x.row(row), Int64(out.width), target)
            if out.format != .f32 { store(temporary, row: row, of: out) }
        }
    }

    func rmsNorm(
        _ weight: UnsafePointer<Float>, group: Int, _ epsilon: Float, _ order: UnsafePointer<Int32>?, _ x: Rows,
        _ out: Rows, _ worker: Int
    ) {
        forEachRow(out) { row in
            let source = x.row(row)
            write(row: row, of: out, order, worker) { target in
                for column in stride(from: 0, to: out.width, by: group) {
                    kernels.pointee.rms_norm(source + column, weight, epsilon, Int64(group), target + column)
                }
            }
        }
    }

    func skipRMSNorm(
        _ weight: UnsafePointer<Float>, _ epsilon: Float, _ order: UnsafePointer<Int32>?, _ residual: Rows, _ x: Rows,
        _ sum: Rows, _ out: Rows, _ worker: Int
    ) {
        forEachRow(out) { row in
            let total = sum.row(row)
            kernels.pointee.add(residual.row(row), x.row(row), Int64(sum.width), total)
            write(row: row, of: out, order, worker) { target in
                kernels.pointee.rms_norm(total, weight, epsilon, Int64(out.width), target)
            }
        }
    }

    /// Writes what `body` makes of a row, in an order of columns (nil: as it is) and in the operand's format.
    @inline(__always)
    private func write(
        row: Int, of out: Rows, _ order: UnsafePointer<Int32>?, _ worker: Int,
        _ body: (UnsafeMutablePointer<Float>) -> Void
    ) {
        let isPlain = out.format == .f32
        let made = isPlain && order == nil ? out.row(row) : scratch[worker].row
        body(made)
        guard let order else {
            if !isPlain { store(made, row: row, of: out) }
            return
        }
        let target = isPlain ? out.row(row) : scratch[worker].ordered
        for column in 0..<out.width { target[column] = made[Int(order[column])] }
        if !isPlain { store(target, row: row, of: out) }
    }

    func swiGLU(_ gate: Rows, _ up: Rows, _ out: Rows, _ worker: Int) {
        let temporary = scratch[worker].row
        forEachRow(out) { row in
            let target = out.format == .f32 ? out.row(row) : temporary
            kernels.pointee.silu_multiply(gate.row(row), up.row(row), Int64(out.width), target)
            if out.format != .f32 { store(temporary, row: row, of: out) }
        }
    }

    func angles(_ table: RotaryTable) {
        forEachItem(of: tokenCount, grain: 8) { range in
            for token in range {
                let (cosine, sine) = (table.cosine(token), table.sine(token))
                for pair in 0..<table.pairs {
                    let position =
                        if let axes = table.axes {
                            Float(rotaryPositions[token][Int(axes[pair])])
                        } else {
                            Float(positions[token])
                        }
                    let angle = position * table.inverseFrequencies[pair]
                    cosine[pair] = cosf(angle) * table.attentionFactor
                    sine[pair] = sinf(angle) * table.attentionFactor
                }
            }
        }
    }

    func rope(_ table: RotaryTable, headDim: Int, _ x: Rows, _ out: Rows) {
        forEachRow(out) { row in
            let target = out.row(row)
            if target != x.row(row) { memcpy(target, x.row(row), out.width &* MemoryLayout<Float>.size) }
            kernels.pointee.rope(
                target, Int64(out.width / headDim), Int64(headDim), Int64(2 &* table.pairs), table.cosine(row),
                table.sine(row))
        }
    }

    func storeKV(_ layer: KVPool.Layer, _ k: Rows, _ v: Rows) {
        forEachRow(k) { row in storeKV(layer, k.row(row), v.row(row), token: row) }
    }

    func ropeStoreKV(_ table: RotaryTable, _ layer: KVPool.Layer, _ q: Rows, _ k: Rows, _ v: Rows, _ out: Rows) {
        let (headDim, rotary) = (Int64(layer.headDim), Int64(2 &* table.pairs))
        forEachRow(q) { row in
            let query = out.row(row)
            if query != q.row(row) { memcpy(query, q.row(row), q.width &* MemoryLayout<Float>.size) }
            let (cosine, sine) = (table.cosine(row), table.sine(row))
            kernels.pointee.rope(query, Int64(q.width / layer.headDim), headDim, rotary, cosine, sine)
            kernels.pointee.rope(k.row(row), Int64(layer.kvHeads), headDim, rotary, cosine, sine)
            storeKV(layer, k.row(row), v.row(row), token: row)
        }
    }

    /// One token's K and V into its row of the pool.
    @inline(__always)
    private func storeKV(
        _ layer: KVPool.Layer, _ key: UnsafePointer<Float>, _ value: UnsafePointer<Float>, token: Int
    ) {
        let row = Int(rows[token])
        let (page, slot) = (row / KVPool.pageRows, row % KVPool.pageRows)
        for head in 0..<layer.kvHeads {
            ck_run_kv_store(
                kernels, layer.type, key + head &* layer.headDim, value + head &* layer.headDim, Int64(layer.headDim),
                layer.page(page, head: head), Int64(slot))
        }
    }
}
