/// Counts of values up to each of some bounds, as Prometheus has them.
struct Histogram: Sendable {
    private let bounds: [Double]
    /// For each bound, and one more for what is beyond.
    private var counts: [Int]
    private var sum = 0.0
    private var count = 0

    init(_ bounds: [Double]) {
        self.bounds = bounds
        counts = Array(repeating: 0, count: bounds.count + 1)
    }

    /// Of values that were counted elsewhere.
    ///
    /// - Parameter counts: for each bound, and one more for what is beyond.
    init(_ bounds: [Double], counts: [Int], sum: Double) {
        precondition(counts.count == bounds.count + 1)
        self.bounds = bounds
        self.counts = counts
        self.sum = sum
        count = counts.reduce(0, +)
    }

    mutating func observe(_ value: Double) {
        counts[bounds.firstIndex { value <= $0 } ?? bounds.count] += 1
        sum += value
        count += 1
    }

    /// In Prometheus' text format.
    func text(_ name: String, _ help: String, labels: String) -> String {
        var text = "# HELP \(name) \(help)\n# TYPE \(name) histogram\n"
        var total = 0
        for (bound, count) in zip(bounds, counts) {
            total += count
            text += "\(name)_bucket{le=\"\(bound)\",\(labels)} \(total)\n"
        }
        text += "\(name)_bucket{le=\"+Inf\",\(labels)} \(count)\n"
        return text + "\(name)_sum{\(labels)} \(sum)\n\(name)_count{\(labels)} \(count)\n"
    }
}
