import ArgumentParser
import Foundation

/// Keys that requests must have, one a line. Empty lines and lines that begin with `#` say nothing.
struct KeyFile {
    let keys: [String]
    /// Whether users beyond the file's owner and group may read them.
    let isOpen: Bool

    /// - Throws: `ValidationError` that names the file.
    init(path: String) throws {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ValidationError("\(path): the file can't be read")
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw ValidationError("\(path): not a text in UTF-8")
        }
        keys = text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
            .filter { !$0.isEmpty && !$0.hasPrefix("#") }
        guard !keys.isEmpty else { throw ValidationError("\(path) has no keys") }
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        isOpen = (attributes?[.posixPermissions] as? NSNumber).map { $0.intValue & 0o004 != 0 } ?? false
    }
}
