import MartletGraph

/// What the weights of a model that isn't quantized are rounded to when it is loaded, without calibration: to the nearest, in
/// groups of 32 columns.
package enum WeightRounding: String, Sendable, CaseIterable {
    /// 8.5 bits a weight.
    case int8
    /// 5 bits a weight; the embedding table and the output projection, which matter most, have 8.5.
    case int4

    /// The weight, rounded; one that has integer codes already stays.
    func callAsFunction(_ weight: LinearWeight) -> LinearWeight {
        switch weight.parts[0].encoding {
        case .affine, .f8: return weight
        case .f32, .f16, .bf16: break
        }
        let bits = self == .int8 || Self.sensitive.contains(weight.name) ? 8 : 4
        return LinearWeight(weight.name, RoundedWeight(weight.parts[0], bits: bits), inputOrder: weight.inputOrder)
    }

    private static let sensitive: Set<String> = ["model.embed_tokens", "lm_head"]
}

/// A matrix of floats rounded to integers, group by group: symmetric ones of 8 bits, or 4 bits with an offset.
struct RoundedWeight: WeightSource {
    private let source: any WeightSource
    let encoding: WeightEncoding
    private let bits: Int

    private static let groupSize = 32

    init(_ source: any WeightSource, bits: Int) {
        self.source = source
        self.bits = bits
        encoding = .affine(AffineEncoding(bits: bits, groupSize: Self.groupSize, zeroPoint: bits == 8 ? 128 : nil))
    }

    var rows: Int { source.rows }
    var columns: Int { source.columns }
    var byteCount: Int { rows * columns * (bits * Self.groupSize + (bits == 8 ? 16 : 32)) / Self.groupSize / 8 }

    func release(rows: Range<Int>) { source.release(rows: rows) }

    func readRow(_ row: Int, into values: UnsafeMutablePointer<Float>) {
        source.readRow(row, into: values)
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.groupSize) { codes in
            guard let codes = codes.baseAddress else { return }
            for start in stride(from: 0, to: columns, by: Self.groupSize) {
                let group = UnsafeMutableBufferPointer(
                    start: values + start, count: min(Self.groupSize, columns - start))
                let (scale, offset) = round(UnsafeBufferPointer(group), into: codes)
                for index in group.indices {
                    group[index] =
                        bits == 8 ? scale * Float(Int(codes[index]) - 128) : scale * Float(codes[index]) + offset
                }
            }
        }
    }

    func readAffineRow(_ row: Int, into buffers: AffineRow) {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { values in
            guard let base = values.baseAddress else { return }
            source.readRow(row, into: base)
            for (index, start) in stride(from: 0, to: columns, by: Self.groupSize).enumerated() {
                let group = UnsafeBufferPointer(start: base + start, count: min(Self.groupSize, columns - start))
                (buffers.scales[index], buffers.offsets[index]) = round(group, into: buffers.codes + start)
            }
        }
    }

    /// A group's codes, scale and offset; the latter two are exact in f16.
    private func round(
        _ values: UnsafeBufferPointer<Float>, into codes: UnsafeMutablePointer<UInt8>
    ) -> (scale: Float, offset: Float) {
        bits == 8 ? roundSymmetric(values, into: codes) : roundWithOffset(values, into: codes)
    }

    private func roundSymmetric(
        _ values: UnsafeBufferPointer<Float>, into codes: UnsafeMutablePointer<UInt8>
    ) -> (scale: Float, offset: Float) {
        let largest = values.reduce(0) { max($0, $1.magnitude) }
        let scale = half(largest / 127)
        let inverse = scale > 0 ? 1 / scale : 0
        for (index, value) in values.enumerated() {
            let code = (value * inverse).rounded(.toNearestOrEven)
            codes[index] = UInt8(128 + Int(max(-127, min(127, code))))
        }
        return (scale, -128 * scale)
    }

    private func roundWithOffset(
        _ values: UnsafeBufferPointer<Float>, into codes: UnsafeMutablePointer<UInt8>
    ) -> (scale: Float, offset: Float) {
        let (low, high) = values.reduce((Float.infinity, -Float.infinity)) { (min($0.0, $1), max($0.1, $1)) }
        var factors = (scale: half((high - low) / 15), offset: half(low))
        var error = encode(values, factors, into: codes)
        // The scale and offset that suit these codes best, by least squares, and the codes that suit those.
        let (scale, offset) = fit(values, codes)
        let better = (scale: half(scale), offset: half(offset))
        let second = encode(values, better, into: codes)
        if second < error {
            (factors, error) = (better, second)
        } else {
            _ = encode(values, factors, into: codes)
        }
        return factors
    }

    /// - Returns: the sum of squared errors.
    private func encode(
        _ values: UnsafeBufferPointer<Float>, _ factors: (scale: Float, offset: Float),
        into codes: UnsafeMutablePointer<UInt8>
    ) -> Float {
        let inverse = factors.scale > 0 ? 1 / factors.scale : 0
        var error: Float = 0
        for (index, value) in values.enumerated() {
            let code = max(0, min(15, ((value - factors.offset) * inverse).rounded(.toNearestOrEven)))
            codes[index] = UInt8(code)
            let difference = value - (factors.scale * code + factors.offset)
            error += difference * difference
        }
        return error
    }

    private func fit(
        _ values: UnsafeBufferPointer<Float>, _ codes: UnsafeMutablePointer<UInt8>
    ) -> (scale: Float, offset: Float) {
        let count = Float(values.count)
        var (sum, codeSum, codeSquares, products): (Float, Float, Float, Float) = (0, 0, 0, 0)
        for (index, value) in values.enumerated() {
            let code = Float(codes[index])
            sum += value
            codeSum += code
            codeSquares += code * code
            products += code * value
        }
        let determinant = count * codeSquares - codeSum * codeSum
        guard determinant > 0 else { return (0, sum / count) }
        let scale = (count * products - codeSum * sum) / determinant
        return (scale, (sum - scale * codeSum) / count)
    }

    private func half(_ value: Float) -> Float { Float(Float16(max(-65504, min(65504, value)))) }
}
