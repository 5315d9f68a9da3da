package import MartletGraph
import MartletModels

/// A prompt with images: token ids, and rows for those that stand for images.
package struct ImagePrompt: Sendable {
    /// An image and the number that tells it from all others.
    package struct Source: Sendable {
        package let features: ImageFeatures
        /// Images with the same contents have the same number, so that prefixes that show them can be shared.
        package let number: Int32

        package init(features: ImageFeatures, number: Int32) {
            precondition(number >= 0)
            self.features = features
            self.number = number
        }
    }

    /// An image's tokens are -1 - number, which no vocabulary has.
    package let tokens: [Int32]
    package let features: TokenFeatures

    /// Puts images in the places that a prompt has for them.
    ///
    /// - Parameters:
    ///   - tokens: with one image token for each image, or already one for each row of each.
    ///   - images: in the order in which they are shown.
    /// - Throws: `invalidPrompt` where counts don't match.
    package init(_ tokens: [Int32], _ images: [Source], for vision: VisionRunner) throws(EngineError) {
        let model = vision.model
        let imageToken = Int32(truncatingIfNeeded: model.imageToken)
        let places = tokens.count { $0 == imageToken }
        let rows = images.reduce(0) { $0 + $1.features.rows.count }
        guard places == images.count || places == rows else {
            throw EngineError(
                .invalidPrompt,
                "the prompt has \(places) image tokens for \(images.count) images, which take \(rows) tokens in all",
                parameter: "prompt")
        }
        let isExpanded = places != images.count
        var layout = Layout(hasGridPositions: model.hasGridPositions)
        var next = 0
        var index = 0
        while index < tokens.count {
            guard tokens[index] == imageToken else {
                layout.append(text: tokens[index])
                index += 1
                continue
            }
            let image = images[next]
            let count = isExpanded ? image.features.rows.count : 1
            guard tokens[index...].prefix(count).allSatisfy({ $0 == imageToken }), tokens.count - index >= count else {
                throw EngineError(
                    .invalidPrompt, "image \(next) takes \(count) tokens, but the prompt has fewer in a row",
                    parameter: "prompt")
            }
            layout.append(image)
            next += 1
            index += count
        }
        self.tokens = layout.tokens
        features = layout.features()
    }

    private struct Layout {
        let hasGridPositions: Bool
        private(set) var tokens: [Int32] = []
        private var spans: [TokenFeatures.Span] = []
        private var positions: [RotaryPosition] = []
        private var nextPosition = 0

        init(hasGridPositions: Bool) { self.hasGridPositions = hasGridPositions }

        mutating func append(text token: Int32) {
            tokens.append(token)
            guard hasGridPositions else { return }
            positions.append(RotaryPosition(repeating: Int32(truncatingIfNeeded: nextPosition)))
            nextPosition += 1
        }

        /// An image's tokens share a frame, and have their row and column; text goes on behind the larger of the two.
        mutating func append(_ image: Source) {
            let features = image.features
            spans.append(.init(first: tokens.count, rows: features.rows))
            tokens += repeatElement(-1 - image.number, count: features.rows.count)
            guard hasGridPositions else { return }
            for row in 0..<features.gridHeight {
                for column in 0..<features.gridWidth {
                    positions.append(
                        RotaryPosition(
                            Int32(truncatingIfNeeded: nextPosition), Int32(truncatingIfNeeded: nextPosition + row),
                            Int32(truncatingIfNeeded: nextPosition + column)))
                }
            }
            nextPosition += max(features.gridHeight, features.gridWidth)
        }

        func features() -> TokenFeatures {
            TokenFeatures(spans: spans, rotaryPositions: positions, rotaryOffset: nextPosition - tokens.count)
        }
    }
}
