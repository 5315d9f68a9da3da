import Foundation

/// SmoothQuant (Xiao et al. 2022, arXiv:2211.10438): outliers of the activations move into the weights, so that both fit into
/// 8 bits.
struct SmoothQuant {
    /// 0: the activations stay as they are; 1: all of their range moves.
    let alpha: Float

    /// s = max|X|^α / max|W|^(1-α) for each input column of the layers that share it.
    ///
    /// - Parameter sharing: as in `AWQ.factors`.
    func factors(_ weights: [Matrix], _ statistics: InputStatistics, sharing rows: [Int]?) -> [Float] {
        var largest = [Float](repeating: 0, count: statistics.width)
        for weight in weights {
            for row in 0..<weight.rows {
                let values = weight.row(row)
                for column in largest.indices { largest[column] = max(largest[column], values[column].magnitude) }
            }
        }
        let activations = shared(statistics.largest, rows)
        return zip(activations, shared(largest, rows)).map { activation, weight in
            // A column that is never used, or that nothing uses, is left alone.
            guard activation > 0, weight > 0 else { return 1 }
            return min(max(pow(activation, alpha) / pow(weight, 1 - alpha), 1e-5), 1e5)
        }
    }

    /// The largest of the columns that one row makes.
    private func shared(_ values: [Float], _ rows: [Int]?) -> [Float] {
        guard let rows, let count = rows.max().map({ $0 + 1 }) else { return values }
        var largest = [Float](repeating: 0, count: count)
        for (column, row) in rows.enumerated() { largest[row] = max(largest[row], values[column]) }
        return rows.map { largest[$0] }
    }
}
