import Foundation
import MartletImages
import Testing

@Suite struct DecodingTests {
    /// JPEG and lossy WebP leave the decoder some freedom (chroma upsampling, the color transform's rounding), and Pillow
    /// brings newer libraries; where they agree, as they do here, differences are zero. One step is allowed.
    @Test(arguments: Fixture.all.decoded)
    func `an image is what Pillow makes of it`(expected: Fixture.Pixels) throws {
        let file = try #require(expected.file)
        let image = try Fixture.image(file)
        #expect(image.width == expected.width)
        #expect(image.height == expected.height)
        let pixels = try Fixture.pixels(expected)
        try #require(image.pixels.count == pixels.count)
        let largest = zip(image.pixels, pixels).map { abs(Int($0) - Int($1)) }.max()
        let isLossy = file.hasSuffix(".jpg") || ["lossy.webp", "alpha.webp"].contains(file)
        #expect(largest ?? 0 <= (isLossy ? 1 : 0))
    }

    @Test(arguments: Fixture.all.resized)
    func `resizing is Pillow's, byte for byte`(expected: Fixture.Pixels) throws {
        let filter = try #require(expected.filter.flatMap { ResamplingFilter(rawValue: $0) })
        let image = try Fixture.image("rgb.png").resized(width: expected.width, height: expected.height, filter)
        #expect(try image.pixels == Fixture.pixels(expected))
    }

    @Test func `limits are checked from the header alone`() throws {
        let file = try Fixture.data("images/rgb.png")
        #expect(throws: ImageError("the image is 37 x 23 pixels large, more than the limit of 850 in all")) {
            try Image(decoding: file, limits: ImageLimits(bytes: 1 << 20, pixels: 850))
        }
        _ = try Image(decoding: file, limits: ImageLimits(bytes: file.count, pixels: 851))
        #expect(throws: ImageError("the image has \(file.count) bytes, more than the limit of 100")) {
            try Image(decoding: file, limits: ImageLimits(bytes: 100, pixels: 1000))
        }
    }

    @Test func `a file is read, and named where it can't be`() throws {
        let url = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID()).png")
        defer { try? FileManager.default.removeItem(at: url) }
        try Fixture.data("images/rgb.png").write(to: url)
        #expect(try Image(contentsOf: url.path).width == 37)
        try Data("no image".utf8).write(to: url)
        let wrong = #expect(throws: ImageError.self) { try Image(contentsOf: url.path) }
        #expect(wrong?.reason == "\(url.path): the image is no JPEG, PNG or WebP (unknown first bytes)")
        #expect(throws: ImageError.self) { try Image(contentsOf: "/nowhere/image.png") }
        #expect(throws: ImageError.self) { try Image(contentsOf: "/tmp") }
    }
}
