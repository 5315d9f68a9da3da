/// A permutation of a row's columns: column i of the result is column `indices[i]` of the input.
///
/// GPTQ with activation order scatters the columns of a group of weights over the row; a kernel wants them side by side, and
/// the input in the same order.
package final class ColumnOrder: Sendable {
    package let indices: [Int32]

    /// - Parameter indices: each of 0 ..< count, once.
    package init(_ indices: [Int32]) { self.indices = indices }
}

/// A matrix whose rows stand in another order.
struct ReorderedRows: WeightSource {
    let source: any WeightSource
    let order: ColumnOrder

    var rows: Int { source.rows }
    var columns: Int { source.columns }
    var encoding: WeightEncoding { source.encoding }
    var byteCount: Int { source.byteCount }

    func readRow(_ row: Int, into values: UnsafeMutablePointer<Float>) {
        source.readRow(Int(order.indices[row]), into: values)
    }

    func readAffineRow(_ row: Int, into buffers: AffineRow) {
        source.readAffineRow(Int(order.indices[row]), into: buffers)
    }

    func release(rows: Range<Int>) {
        // Some rows here are others there.
        if rows.lowerBound <= 0, rows.upperBound >= source.rows { source.release(rows: rows) }
    }
}

extension LinearWeight {
    /// The same weight with its rows, the columns of what it makes, in another order.
    package func reorderingOutput(_ order: ColumnOrder) -> LinearWeight {
        precondition(parts.count == 1 && order.indices.count == rows)
        return LinearWeight(
            name, ReorderedRows(source: parts[0], order: order),
            bias: bias.map { bias in order.indices.map { bias[Int($0)] } }, inputOrder: inputOrder,
            roundsInputToFloat8: roundsInputToFloat8)
    }

    /// The same weight for an input that is in `inputOrder` already.
    package func takingOrderedInput() -> LinearWeight {
        inputOrder == nil ? self : LinearWeight(name, parts[0], bias: bias)
    }
}

extension LinearWeight {
    /// The first `count` rows as float32, in the file's order of columns: exactly what the file's codes mean.
    package func dequantizedRows(_ count: Int) -> [Float] {
        precondition(parts.count == 1 && count <= rows)
        var values = [Float](repeating: 0, count: count * columns)
        values.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            for row in 0..<count { parts[0].readRow(row, into: base + row * columns) }
        }
        return inFileOrder(values)
    }

    /// Rows in the order of the input that the layer takes, in the file's.
    package func inFileOrder(_ values: [Float]) -> [Float] {
        guard let order = inputOrder?.indices else { return values }
        var result = values
        for (index, value) in values.enumerated() {
            result[index / columns * columns + Int(order[index % columns])] = value
        }
        return result
    }
}
