import Glibc

/// The codes that weights of a group may take: value = scale · (code - zero), with unsigned codes.
struct QuantizationGrid: Sendable, Equatable {
    let bits: Int
    let isSymmetric: Bool
    /// How scales are stored. Codes are chosen for the scale that a reader will see.
    let scaleStorage: FloatStorage
    /// The smallest zero point. GPTQ's version 1 stores zero - 1, and readers disagree about 0 - 1.
    let smallestZero: Float

    struct Group: Sendable, Equatable {
        var scale: Float
        var zero: Float
    }

    var largestCode: Float { Float(1 << bits - 1) }

    /// The grid that spans the values of a group, and 0.
    func group(_ values: UnsafePointer<Float>, count: Int) -> Group {
        let range = Self.range(values, count: count)
        return group(low: range[0], high: range[1])
    }

    /// Shares of a group's lowest and highest value that are worth trying as the ends of its range: what is cut off may cost
    /// less than what a finer grid brings. With a zero point each end on its own, the whole range first.
    var shares: [SIMD2<Float>] { isSymmetric ? Self.commonShares : Self.separateShares }

    private static let commonShares = (0..<16).map { SIMD2<Float>(repeating: 1 - Float($0) / 32) }
    private static let separateShares: [SIMD2<Float>] = {
        let steps: [Float] = [1, 0.94, 0.88, 0.82, 0.76, 0.7, 0.64, 0.58]
        return steps.flatMap { low in steps.map { high in SIMD2(low, high) } }
    }()

    /// The lowest and the highest of some values and 0.
    static func range(_ values: UnsafePointer<Float>, count: Int) -> SIMD2<Float> {
        var range = SIMD2<Float>.zero
        for index in 0..<count {
            range[0] = min(range[0], values[index])
            range[1] = max(range[1], values[index])
        }
        return range
    }

    func group(low: Float, high: Float) -> Group {
        let middle = Float(1 << (bits - 1))
        let zeroGroup = Group(scale: 1, zero: isSymmetric ? middle : max(smallestZero, 0))
        if isSymmetric {
            // 4 bits: the range of half a code on either side, as all the formats' tools have it. 8 bits: nothing is cut off.
            let span = bits == 8 ? 127 : (middle - 0.5)
            let scale = scaleStorage.rounded(max(-low, high) / span)
            return scale > 0 ? Group(scale: scale, zero: middle) : zeroGroup
        }
        let scale = scaleStorage.rounded((high - low) / largestCode)
        guard scale > 0 else { return zeroGroup }
        return Group(scale: scale, zero: min(max((-low / scale).rounded(.toNearestOrEven), smallestZero), largestCode))
    }

    /// The code of the nearest value; 0 for what is not a number.
    @inline(__always)
    func code(_ value: Float, _ group: Group) -> Float {
        // In this order the comparisons let no NaN through.
        min(largestCode, max(0, (value / group.scale).rounded(.toNearestOrEven) + group.zero))
    }

    @inline(__always)
    func value(_ code: Float, _ group: Group) -> Float { group.scale * (code - group.zero) }
}
