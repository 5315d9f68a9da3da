import Foundation
import MartletJSON
import Testing

@testable import MartletTokenizers

/// JSON from this target's Fixtures. Read with our own parser: Foundation's loses U+FEFF inside of strings.
enum FixtureFile {
    static func bytes(_ name: String) throws -> [UInt8] {
        let folder = try #require(Bundle.module.resourceURL).appending(path: "Fixtures")
        return Array(try Data(contentsOf: folder.appending(path: name)))
    }

    static func json(_ name: String) throws -> JSONValue {
        var reader = try JSONReader(try bytes(name))
        return try reader.value()
    }
}

extension JSONValue {
    var tokens: [TokenID] { (array ?? []).compactMap { $0.integer.flatMap { TokenID(exactly: $0) } } }
    var strings: [[UInt8]] { (array ?? []).compactMap(\.bytes) }
}

/// Bytes as text for failure messages.
func shown(_ bytes: [UInt8]) -> String {
    String(decoding: bytes, as: UTF8.self).debugDescription
}
