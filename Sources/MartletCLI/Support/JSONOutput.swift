import Foundation

/// What `--json` prints: one document, keys in a stable order.
enum JSONOutput {
    static func text(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self) + "\n"
    }

    static func print(_ value: some Encodable) throws { try StandardStream.output.write(text(value)) }
}
