import CKernels

/// One group of 32 activations, quantized the obvious way.
struct QuantizedGroup {
    let codes: [Int]
    let scale: Float

    init(_ values: ArraySlice<Float>, largestCode: Float = 127) {
        let largest = values.map(\.magnitude).max() ?? 0
        let factor = largest > 0 ? largestCode / largest : 0
        codes = values.map { Int(($0 * factor).rounded(.toNearestOrEven)) }
        scale = largest / largestCode
    }
}

/// A product in double precision, and how far a float kernel may be from it.
struct ReferenceProduct {
    /// [tokens][rows]
    var values: [Double] = []
    var tolerances: [Double] = []

    /// The sum over k of activation * weight, with the activations rounded as the layout's kernel rounds them.
    ///
    /// Tolerance: a float sum of n terms is off by at most about n * 2^-24 * (sum of the terms' magnitudes), and each
    /// term is a product of up to 3 rounded factors. n is the number of float additions: one or two per group for
    /// quantized layouts, whose dot products are exact integers, and one per column for the others.
    init(_ weights: Weights, activations: [Float], tokens: Int) {
        let layout = weights.layout
        let columns = weights.columns
        for token in 0..<tokens {
            let row = activations[token * columns..<(token + 1) * columns]
            let terms: [[Double]] =
                layout.isQuantized ? Self.quantizedTerms(weights, row) : Self.floatTerms(weights, row)
            for terms in terms {
                values.append(terms.reduce(0, +))
                let magnitude = terms.reduce(0) { $0 + $1.magnitude }
                tolerances.append(Double(terms.count + 4) * 0x1p-24 * magnitude)
            }
        }
    }

    private static func floatTerms(_ weights: Weights, _ activations: ArraySlice<Float>) -> [[Double]] {
        let row = activations.map { Double(weights.layout.activation == CK_ACT_BF16 ? bfloat16($0) : $0) }
        return (0..<weights.rows).map { r in
            (0..<weights.columns).map { row[$0] * Double(weights.values[r * weights.columns + $0]) }
        }
    }

    private static func quantizedTerms(_ weights: Weights, _ activations: ArraySlice<Float>) -> [[Double]] {
        let groups = stride(from: activations.startIndex, to: activations.endIndex, by: 32).map {
            QuantizedGroup(
                activations[$0..<min($0 + 32, activations.endIndex)], largestCode: weights.layout.largestCode)
        }
        let layout = weights.layout
        return (0..<weights.rows).map { r in
            var terms: [Double] = []
            for index in 0..<weights.groups {
                let first = index * layout.groupSize
                let group = groups[first / 32]
                var dot = 0
                var sum = 0
                for k in first..<first + layout.groupSize {
                    dot += group.codes[k % 32] * (Int(weights.codes[r * weights.columns + k]) - layout.zeroCode)
                    sum += group.codes[k % 32]
                }
                let (scale, offset) = weights.factors(row: r, column: first)
                terms.append(Double(dot) * Double(scale) * Double(group.scale))
                if layout.hasOffsets {
                    let factor = layout.hasZeroPoints ? Double(scale) : 1
                    terms.append(factor * Double(offset) * Double(group.scale) * Double(sum))
                }
            }
            return terms
        }
    }
}
