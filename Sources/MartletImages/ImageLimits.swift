/// What an image may ask for. All of it is checked before anything is decoded, from the header alone.
package struct ImageLimits: Sendable, Equatable {
    /// Bytes of the file. A camera's JPEG has 5 to 20 MB.
    package var bytes: Int
    /// Pixels; each takes 3 bytes decoded, and up to 6 more while a progressive JPEG is. Phones take 12 or 48 million.
    package var pixels: Int

    package static let `default` = ImageLimits(bytes: 32 << 20, pixels: 50_000_000)

    package init(bytes: Int, pixels: Int) {
        self.bytes = bytes
        self.pixels = pixels
    }
}
