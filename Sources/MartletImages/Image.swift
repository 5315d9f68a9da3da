/// An image in memory: 8-bit RGB, as it should be looked at.
package struct Image: Sendable, Equatable {
    package let width: Int
    package let height: Int
    /// `[height][width][3]`.
    package let pixels: [UInt8]

    package init(width: Int, height: Int, pixels: [UInt8]) {
        precondition(width > 0 && height > 0 && pixels.count == width * height * 3)
        self.width = width
        self.height = height
        self.pixels = pixels
    }
}
