import Foundation
import MartletImages
import Testing

/// A file that is no image that can be used, and a part of the message that must say why.
struct MalformedImage: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let message: String
    let bytes: @Sendable () throws -> Data

    init(_ name: String, _ message: String, _ bytes: @escaping @Sendable () throws -> Data) {
        testDescription = name
        self.message = message
        self.bytes = bytes
    }

    /// A fixture with bytes changed.
    init(_ name: String, _ file: String, _ message: String, _ change: @escaping @Sendable (inout Data) throws -> Void) {
        self.init(name, message) {
            var data = try Fixture.data("images/\(file)")
            try change(&data)
            return Data(data)
        }
    }

    static let signatures = [
        MalformedImage("nothing", "the image is empty") { Data() },
        MalformedImage("a GIF", "looks like GIF") { Data("GIF89a".utf8) + Data(count: 20) },
        MalformedImage("a BMP", "looks like BMP") { Data("BM".utf8) + Data(count: 60) },
        MalformedImage("text", "no JPEG, PNG or WebP") { Data("hello, world".utf8) },
        MalformedImage("a PNG signature that FTP has mangled", "no JPEG, PNG or WebP") {
            Data([0x89, 0x50, 0x4E, 0x47, 0x0A, 0x1A, 0x0A, 0])
        },
        MalformedImage("RIFF that is a WAV", "no JPEG, PNG or WebP") { Data("RIFF\0\0\0\0WAVEfmt ".utf8) },
        MalformedImage("only a JPEG signature", "truncated") { Data([0xFF, 0xD8, 0xFF]) },
        MalformedImage("only a PNG signature", "truncated") {
            Data([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
        },
        MalformedImage("only a WebP signature", "can't be decoded") { Data("RIFF\u{10}\0\0\0WEBP".utf8) },
    ]

    static let png = [
        MalformedImage("a PNG cut in the pixels", "rgb.png", "truncated") { $0.removeLast(1000) },
        MalformedImage("a PNG without width", "can't be decoded") { PNGFile(width: 0, height: 5).data },
        MalformedImage("a PNG without height", "can't be decoded") { PNGFile(width: 5, height: 0).data },
        MalformedImage("a PNG bomb", "more than the limit") { PNGFile(width: 100_000, height: 100_000).data },
        MalformedImage("the largest PNG", "more than the limit") {
            PNGFile(width: 0x7FFF_FFFF, height: 0x7FFF_FFFF).data
        },
        MalformedImage("a PNG beyond 31 bits", "can't be decoded") { PNGFile(width: 0xFFFF_FFFF, height: 1).data },
        MalformedImage("a PNG with 3 bits per sample", "can't be decoded") {
            PNGFile(width: 5, height: 5, depth: 3).data
        },
        MalformedImage("a PNG of color type 5", "can't be decoded") { PNGFile(width: 5, height: 5, color: 5).data },
        MalformedImage("a PNG with a palette that is missing", "can't be decoded") {
            PNGFile(width: 5, height: 5, color: 3).data
        },
        MalformedImage("a PNG header that fails its checksum", "rgb.png", "CRC") { $0[20] ^= 1 },
        MalformedImage("pixels that are not what they were", "rgb.png", "can't be decoded") { $0[100] ^= 1 },
        MalformedImage("pixels that aren't deflated", "can't be decoded") {
            PNGFile(width: 5, height: 5, pixels: Data(repeating: 0xAB, count: 80)).data
        },
        MalformedImage("fewer pixels than the header says", "can't be decoded") {
            PNGFile(width: 500, height: 500).data
        },
        MalformedImage("a chunk of 2 GB", "can't be decoded") {
            PNGFile(width: 5, height: 5).data.prefix(33) + Data([0x7F, 0xFF, 0xFF, 0xFF]) + Data("tEXt".utf8)
        },
    ]

    static let jpeg = [
        MalformedImage("a JPEG cut in the pixels", "rgb.jpg", "truncated") { $0.removeLast(300) },
        MalformedImage("a JPEG cut in its header", "rgb.jpg", "truncated") { $0.removeLast($0.count - 100) },
        MalformedImage("a progressive JPEG cut in a scan", "progressive.jpg", "truncated") { $0.removeLast(200) },
        MalformedImage("a JPEG bomb", "rgb.jpg", "more than the limit") {
            let start = try MalformedImage.frame(of: $0)
            $0.replaceSubrange(start + 5..<start + 9, with: [0xFF, 0xDC, 0xFF, 0xDC])
        },
        MalformedImage("a JPEG without height", "rgb.jpg", "can't be decoded") {
            let start = try MalformedImage.frame(of: $0)
            $0.replaceSubrange(start + 5..<start + 7, with: [0, 0])
        },
        MalformedImage("a JPEG without width", "rgb.jpg", "can't be decoded") {
            let start = try MalformedImage.frame(of: $0)
            $0.replaceSubrange(start + 7..<start + 9, with: [0, 0])
        },
        MalformedImage("a JPEG with 12 bits per sample", "rgb.jpg", "can't be decoded") {
            $0[try MalformedImage.frame(of: $0) + 4] = 12
        },
        MalformedImage("a JPEG with 200 components", "rgb.jpg", "can't be decoded") {
            $0[try MalformedImage.frame(of: $0) + 9] = 200
        },
        MalformedImage("a JPEG with impossible sampling", "rgb.jpg", "can't be decoded") {
            $0[try MalformedImage.frame(of: $0) + 11] = 0
        },
        MalformedImage("a JPEG of 10,000 scans", "progressive.jpg", "scans") { data in
            // The last scan again and again, before the end of the image.
            let start = try #require(data.range(of: Data([0xFF, 0xDA]), options: .backwards)).lowerBound
            let scan = data[start..<data.count - 2]
            let end = data.suffix(2)
            data.removeLast(2)
            for _ in 0..<10_000 { data += scan }
            data += end
        },
    ]

    static let webp = [
        MalformedImage("a WebP cut in the pixels", "lossless.webp", "truncated") { $0.removeLast(500) },
        MalformedImage("a lossy WebP cut in the pixels", "lossy.webp", "truncated") { $0.removeLast(200) },
        MalformedImage("a WebP without its codec's signature", "lossless.webp", "can't be decoded") { $0[20] = 0 },
        MalformedImage("a WebP of an unknown chunk", "lossless.webp", "can't be decoded") { $0[15] = 0x3F },
    ]

    /// Where the frame header's marker is.
    private static func frame(of jpeg: Data) throws -> Int {
        let frame = jpeg.range(of: Data([0xFF, 0xC0])) ?? jpeg.range(of: Data([0xFF, 0xC2]))
        return try #require(frame).lowerBound
    }
}

/// A PNG file around any header, with checksums that are right.
struct PNGFile {
    let data: Data

    /// - Parameter pixels: the IDAT chunk; an empty deflate stream as a rule.
    init(width: UInt32, height: UInt32, depth: UInt8 = 8, color: UInt8 = 2, pixels: Data? = nil) {
        func big(_ value: UInt32) -> Data { withUnsafeBytes(of: value.bigEndian) { Data($0) } }
        func chunk(_ name: String, _ body: Data) -> Data {
            let named = Data(name.utf8) + body
            return big(UInt32(body.count)) + named + big(Self.checksum(named))
        }
        data =
            Data([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
            + chunk("IHDR", big(width) + big(height) + Data([depth, color, 0, 0, 0]))
            + chunk("IDAT", pixels ?? Data([0x78, 0x9C, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01])) + chunk("IEND", Data())
    }

    /// CRC-32 as in zlib.
    private static func checksum(_ data: Data) -> UInt32 {
        var sum = UInt32.max
        for byte in data {
            sum ^= UInt32(byte)
            for _ in 0..<8 {
                let isOdd = sum & 1 == 1
                sum >>= 1
                if isOdd { sum ^= 0xEDB8_8320 }
            }
        }
        return ~sum
    }
}

@Suite struct MalformedImageTests {
    @Test(arguments: MalformedImage.signatures + MalformedImage.png + MalformedImage.jpeg + MalformedImage.webp)
    func `a malformed image is a clear error`(image: MalformedImage) throws {
        let bytes = try image.bytes()
        let time = ContinuousClock().measure {
            let error = #expect(throws: ImageError.self) { _ = try Image(decoding: bytes) }
            #expect(error?.reason.contains(image.message) == true, "\(String(describing: error))")
        }
        #expect(time < .seconds(5))
    }

    @Test(arguments: ["rgb.png", "progressive.jpg", "exif6.jpg", "exif8.webp", "lossy.webp"])
    func `a file cut at any byte is an error, or at most lacks what follows the picture`(file: String) throws {
        let bytes = try Fixture.data("images/\(file)")
        let whole = try Image(decoding: bytes)
        for length in 0..<bytes.count {
            guard let image = try? Image(decoding: Data(bytes.prefix(length))) else { continue }
            // Of a cut WebP the EXIF may be missing.
            #expect(image.pixels.count == whole.pixels.count, "\(length) bytes")
        }
    }

    /// Nothing is asserted of the result but that there is one, or an error.
    @Test(arguments: [
        "rgb.png", "palette.png", "interlaced.png", "rgb.jpg", "progressive.jpg", "cmyk.jpg", "exif6.jpg", "exif8.webp",
        "alpha.webp",
    ])
    func `noise in a file is survived`(file: String) throws {
        let bytes = try Fixture.data("images/\(file)")
        var state: UInt64 = 1
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        for _ in 0..<300 {
            var noisy = bytes
            for _ in 0...random(4) { noisy[random(noisy.count)] = UInt8(random(256)) }
            let image = try? Image(decoding: noisy, limits: ImageLimits(bytes: 1 << 20, pixels: 1 << 20))
            if let image { #expect(image.pixels.count == image.width * image.height * 3) }
        }
    }
}
