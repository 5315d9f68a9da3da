/// An image as a vision tower reads it: normalized, and cut into square patches, a row each.
package struct ImagePatches: Sendable, Equatable {
    /// Patches from top to bottom, and from left to right.
    package let gridHeight: Int
    package let gridWidth: Int
    /// Values of a patch: `3 · temporalPatchSize · patchSize²`.
    package let width: Int
    /// `[gridHeight · gridWidth][width]`. A row is `[channel][frame][y][x]`, the order of a convolution's weights. Patches
    /// that are merged into one token follow each other, row by row; else the order is that of reading.
    package let values: [Float]

    package var count: Int { gridHeight * gridWidth }

    /// - Parameter normalized: the value of each channel's 256 samples, `[3][256]`.
    init(
        of image: Image, patchSize: Int, mergeSize: Int, temporalPatchSize: Int, normalized: [[Float]]
    ) {
        precondition(image.width % (patchSize * mergeSize) == 0 && image.height % (patchSize * mergeSize) == 0)
        gridHeight = image.height / patchSize
        gridWidth = image.width / patchSize
        width = 3 * temporalPatchSize * patchSize * patchSize
        var values: [Float] = []
        values.reserveCapacity(gridHeight * gridWidth * width)
        for blockY in stride(from: 0, to: gridHeight, by: mergeSize) {
            for blockX in stride(from: 0, to: gridWidth, by: mergeSize) {
                for patchY in blockY..<blockY + mergeSize {
                    for patchX in blockX..<blockX + mergeSize {
                        for channel in 0..<3 {
                            for _ in 0..<temporalPatchSize {
                                for y in patchY * patchSize..<(patchY + 1) * patchSize {
                                    let row = (y * image.width + patchX * patchSize) * 3 + channel
                                    for x in 0..<patchSize {
                                        values.append(normalized[channel][Int(image.pixels[row + 3 * x])])
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        self.values = values
    }
}
