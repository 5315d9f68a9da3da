import Foundation
import MartletJinja
import Testing

/// Reads the JSON files of the test bundle with the module's own reader, which keeps the order of keys.
enum Fixture {
    static func names(in folder: String) -> [String] {
        let url = Bundle.module.resourceURL?.appending(path: "Fixtures/\(folder)")
        let names = try? url.map { try FileManager.default.contentsOfDirectory(atPath: $0.path) }
        return (names ?? []).filter { $0.hasSuffix(".json") }.sorted()
    }

    static func read(_ path: String) throws -> Value {
        let url = try #require(Bundle.module.resourceURL?.appending(path: "Fixtures/\(path)"))
        return try Value(json: String(decoding: try Data(contentsOf: url), as: UTF8.self))
    }
}

extension Value {
    /// A member of a JSON object; nil where it is absent or null.
    subscript(member: String) -> Value? {
        guard case .dictionary(let dictionary) = self, let value = dictionary[member] else { return nil }
        if case .null = value { return nil }
        return value
    }

    var elements: [Value] {
        guard case .list(let list) = self else { return [] }
        return list.elements
    }

    /// A JSON object as variables of a template.
    var context: [String: Value] {
        guard case .dictionary(let dictionary) = self else { return [:] }
        return Dictionary(uniqueKeysWithValues: zip(dictionary.keys.compactMap(\.asString), dictionary.values))
    }
}
