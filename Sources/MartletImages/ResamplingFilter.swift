import Foundation

/// A filter for resizing, by Pillow's number in `preprocessor_config.json`.
package enum ResamplingFilter: Int, Sendable {
    case lanczos = 1
    case bilinear = 2
    case bicubic = 3

    /// The filter is zero from this distance on, in pixels of the smaller image.
    var support: Double {
        switch self {
        case .lanczos: 3
        case .bilinear: 1
        case .bicubic: 2
        }
    }

    func callAsFunction(_ distance: Double) -> Double {
        let x = abs(distance)
        guard x < support else { return 0 }
        switch self {
        case .lanczos: return Self.sinc(x) * Self.sinc(x / 3)
        case .bilinear: return 1 - x
        case .bicubic:
            // Keys 1981, with a = -1/2.
            let a = -0.5
            return x < 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : (((x - 5) * x + 8) * x - 4) * a
        }
    }

    private static func sinc(_ x: Double) -> Double {
        x == 0 ? 1 : sin(.pi * x) / (.pi * x)
    }
}

/// The weights with which one axis of an image is resampled. When an image gets smaller the filter widens with it, so that
/// every source pixel counts (antialiasing).
struct ResamplingWeights {
    /// Weights are integers in units of 2⁻²², as in Pillow: results are then equal to its, not only close.
    static let fractionBits = 22

    struct Window {
        /// The first source pixel, and where its weight is in `weights`.
        var first: Int
        var offset: Int
        var count: Int
    }

    /// One for every pixel of the result.
    let windows: [Window]
    let weights: [Int32]

    init(from sourceCount: Int, to count: Int, _ filter: ResamplingFilter) {
        let scale = Double(sourceCount) / Double(count)
        let widening = max(scale, 1)
        let support = filter.support * widening
        var windows: [Window] = []
        var weights: [Int32] = []
        for index in 0..<count {
            let center = (Double(index) + 0.5) * scale
            let first = max(Int(center - support + 0.5), 0)
            let end = min(Int(center + support + 0.5), sourceCount)
            let values = (first..<end).map { filter((Double($0) - center + 0.5) * (1 / widening)) }
            let total = values.reduce(0, +)
            windows.append(Window(first: first, offset: weights.count, count: end - first))
            for value in values {
                let units = (total == 0 ? value : value / total) * Double(1 << Self.fractionBits)
                weights.append(Int32(units.rounded(.toNearestOrAwayFromZero)))
            }
        }
        self.windows = windows
        self.weights = weights
    }
}
