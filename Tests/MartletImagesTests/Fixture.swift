import Foundation
import MartletImages
import Testing

/// The images and expected results of `Fixtures/`, which `make_fixtures.py` wrote with Pillow and transformers.
struct Fixture: Decodable {
    /// RGB pixels, in `expected.rgb` from `offset` on.
    struct Pixels: Decodable, Sendable, CustomTestStringConvertible {
        let width: Int
        let height: Int
        let offset: Int
        /// What was decoded.
        let file: String?
        /// Pillow's number of the filter that rgb.png was resized with.
        let filter: Int?

        var testDescription: String { file ?? "filter \(filter ?? 0) to \(width) x \(height)" }
    }

    /// What a processor makes of an image: `count` floats, in `expected.f32` from `offset` on.
    struct Processed: Decodable, Sendable, CustomTestStringConvertible {
        let name: String
        let file: String
        let offset: Int
        let shape: [Int]

        var testDescription: String { "\(name), \(file)" }
    }

    let decoded: [Pixels]
    let resized: [Pixels]
    let processed: [Processed]

    static let all: Fixture = {
        do {
            return try JSONDecoder().decode(Fixture.self, from: Fixture.data("cases.json"))
        } catch {
            Issue.record(error)
            return Fixture(decoded: [], resized: [], processed: [])
        }
    }()

    static func data(_ name: String) throws -> Data {
        let folder = try #require(Bundle.module.resourceURL)
        return try Data(contentsOf: folder.appending(path: "Fixtures").appending(path: name))
    }

    static func image(_ name: String) throws -> Image { try Image(decoding: data("images/\(name)")) }

    static func pixels(_ expected: Pixels) throws -> [UInt8] {
        let count = expected.width * expected.height * 3
        return try [UInt8](data("expected.rgb")[expected.offset..<expected.offset + count])
    }

    static func floats(_ expected: Processed) throws -> [Float] {
        let count = expected.shape.reduce(1, *) * 4
        return try data("expected.f32")[expected.offset..<expected.offset + count].withUnsafeBytes {
            $0.withMemoryRebound(to: Float.self) { [Float]($0) }
        }
    }
}
