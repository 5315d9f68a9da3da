/// A set of Unicode scalars as sorted, disjoint, non-adjacent ranges of code points.
///
/// Set algebra happens on ranges while a pattern is compiled; matching uses `ScalarBitmap`.
package struct ScalarSet: Equatable, Sendable {
    static let last: UInt32 = 0x10FFFF
    package static let all = ScalarSet(sorted: [0...last])
    package static let empty = ScalarSet(sorted: [])

    package private(set) var ranges: [ClosedRange<UInt32>]

    private init(sorted ranges: [ClosedRange<UInt32>]) {
        self.ranges = ranges
    }

    package init(_ ranges: [ClosedRange<UInt32>]) {
        var merged: [ClosedRange<UInt32>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let previous = merged.last, range.lowerBound <= previous.upperBound &+ 1 {
                merged[merged.count - 1] =
                    previous.lowerBound...max(previous.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        self.ranges = merged
    }

    package init(_ scalar: Unicode.Scalar) {
        self.init(sorted: [scalar.value...scalar.value])
    }

    package var isEmpty: Bool { ranges.isEmpty }
    package var isAll: Bool { ranges.first == 0...Self.last }

    package var inverted: ScalarSet {
        var result: [ClosedRange<UInt32>] = []
        var next: UInt32 = 0
        for range in ranges {
            if range.lowerBound > next { result.append(next...(range.lowerBound - 1)) }
            next = range.upperBound + 1
        }
        if next <= Self.last { result.append(next...Self.last) }
        return ScalarSet(sorted: result)
    }

    package func union(_ other: ScalarSet) -> ScalarSet {
        ScalarSet(ranges + other.ranges)
    }

    package func intersection(_ other: ScalarSet) -> ScalarSet {
        if isAll { return other }
        if other.isAll { return self }
        var result: [ClosedRange<UInt32>] = []
        var (left, right) = (0, 0)
        while left < ranges.count, right < other.ranges.count {
            let (a, b) = (ranges[left], other.ranges[right])
            let low = max(a.lowerBound, b.lowerBound)
            let high = min(a.upperBound, b.upperBound)
            if low <= high { result.append(low...high) }
            if a.upperBound < b.upperBound { left += 1 } else { right += 1 }
        }
        return ScalarSet(sorted: result)
    }

    package func isDisjoint(with other: ScalarSet) -> Bool {
        intersection(other).isEmpty
    }
}

/// A scalar set for matching: one bit a scalar, equal pages of 256 scalars stored once, ASCII apart.
struct ScalarBitmap: Sendable {
    private static let wordsPerPage = 4

    let asciiLow: UInt64
    let asciiHigh: UInt64
    private let pageIndex: [UInt16]
    private let words: [UInt64]

    init(_ set: ScalarSet) {
        // Page 0 is empty and page 1 is full; a range's interior shares page 1, so building costs ranges, not scalars.
        var index = [UInt16](repeating: 0, count: Int(ScalarSet.last >> 8) + 1)
        var words: [UInt64] = [0, 0, 0, 0, .max, .max, .max, .max]
        for range in set.ranges {
            for page in Int(range.lowerBound >> 8)...Int(range.upperBound >> 8) {
                let first = UInt32(page) << 8
                let low = Int(max(range.lowerBound, first) - first)
                let high = Int(min(range.upperBound, first + 255) - first)
                if low == 0, high == 255 {
                    index[page] = 1
                    continue
                }
                if index[page] == 0 {
                    index[page] = UInt16(words.count / Self.wordsPerPage)
                    words.append(contentsOf: [0, 0, 0, 0])
                }
                let base = Int(index[page]) * Self.wordsPerPage
                for bit in low...high { words[base + bit >> 6] |= 1 << UInt64(bit & 63) }
            }
        }
        let ascii = Int(index[0]) * Self.wordsPerPage
        asciiLow = words[ascii]
        asciiHigh = words[ascii + 1]
        pageIndex = index
        self.words = words
    }

    /// `ascii` must be below 128.
    @inline(__always)
    func contains(ascii: UInt8) -> Bool {
        (ascii < 64 ? asciiLow : asciiHigh) >> UInt64(ascii & 63) & 1 != 0
    }

    /// `scalar` must be a Unicode scalar's value.
    @inline(__always)
    func contains(_ scalar: UInt32) -> Bool {
        let page = Int(pageIndex[Int(scalar >> 8)])
        return words[page * Self.wordsPerPage + Int(scalar & 255) >> 6] >> UInt64(scalar & 63) & 1 != 0
    }
}
