/// Where the values of a sample lie.
struct Percentiles: Encodable, Equatable {
    let mean: Double
    let p50: Double
    let p90: Double
    let p99: Double

    /// Nil for no values. Between two values the percentile is interpolated, as NumPy does.
    init?(_ values: [Double]) {
        guard !values.isEmpty else { return nil }
        let sorted = values.sorted()
        func percentile(_ fraction: Double) -> Double {
            let place = fraction * Double(sorted.count - 1)
            let index = Int(place)
            let next = min(index + 1, sorted.count - 1)
            return sorted[index] + (sorted[next] - sorted[index]) * (place - Double(index))
        }
        mean = values.reduce(0, +) / Double(values.count)
        p50 = percentile(0.5)
        p90 = percentile(0.9)
        p99 = percentile(0.99)
    }
}
