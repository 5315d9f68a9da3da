/// Rows that stand in for tokens' embeddings: of an image's tokens what a vision tower made of the image; in a vision
/// tower's own step the pixels of a patch.
package final class FeatureRows: Sendable {
    package let count: Int
    package let width: Int
    /// `[count][width]`, at one address as long as this lives: steps keep pointers into it. Never written after `init`.
    nonisolated(unsafe) private let values: UnsafeMutablePointer<Float>

    /// Copies `values`, `[values.count / width][width]`.
    package init(_ values: some Collection<Float>, width: Int) {
        precondition(width > 0 && values.count % width == 0)
        self.count = values.count / width
        self.width = width
        let copy = UnsafeMutableBufferPointer<Float>.allocate(capacity: max(values.count, 1))
        _ = copy.initialize(from: values)
        self.values = copy.baseAddress.unsafelyUnwrapped  // never nil, as there is room for one at least
    }

    deinit { values.deallocate() }

    package func row(_ index: Int) -> UnsafePointer<Float> {
        precondition(index >= 0 && index < count)
        return UnsafePointer(values + index * width)
    }

    package var floats: UnsafeBufferPointer<Float> { UnsafeBufferPointer(start: values, count: count * width) }
}

/// Positions of a token on three axes, for rotary embeddings that tell them apart: frame, row, column. Text has three equal
/// ones.
package typealias RotaryPosition = SIMD3<Int32>

/// What a request brings besides token ids.
package final class TokenFeatures: Sendable {
    /// A run of tokens and their rows.
    package struct Span: Sendable {
        package let first: Int
        package let rows: FeatureRows

        package init(first: Int, rows: FeatureRows) {
            self.first = first
            self.rows = rows
        }

        package var range: Range<Int> { first..<first + rows.count }
    }

    /// Ascending, without overlaps.
    package let spans: [Span]
    /// Of the request's first tokens; those behind count on from the last. Empty: a token's position is its index.
    package let rotaryPositions: [RotaryPosition]
    /// What the position of a token behind `rotaryPositions` has more than its index; negative as a rule, as an image takes
    /// fewer positions than tokens.
    package let rotaryOffset: Int

    package init(spans: [Span], rotaryPositions: [RotaryPosition] = [], rotaryOffset: Int = 0) {
        precondition(zip(spans, spans.dropFirst()).allSatisfy { $0.range.upperBound <= $1.first })
        self.spans = spans
        self.rotaryPositions = rotaryPositions
        self.rotaryOffset = rotaryOffset
    }
}
