import Foundation

/// The lines that were typed before, kept in the user's state folder: a JSON string per line of the file, because
/// messages may have newlines.
struct History {
    private(set) var lines: [String] = []
    /// Nil: kept in memory only.
    private let file: URL?

    static let capacity = 1000

    init(file: URL?) {
        self.file = file
        guard let file, let text = try? String(contentsOf: file, encoding: .utf8) else { return }
        let decoder = JSONDecoder()
        lines = text.split(separator: "\n").suffix(Self.capacity).compactMap {
            try? decoder.decode(String.self, from: Data($0.utf8))
        }
    }

    /// `$XDG_STATE_HOME/martlet/history`; nil where there is no home.
    static func standardFile(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> URL? {
        let state = environment["XDG_STATE_HOME"].flatMap { $0.hasPrefix("/") ? URL(filePath: $0) : nil }
        let home = environment["HOME"].map { URL(filePath: $0).appending(path: ".local/state") }
        return (state ?? home)?.appending(path: "martlet/history")
    }

    /// Adds a line, and saves. A history that cannot be saved is no reason to stop a conversation.
    mutating func append(_ line: String) {
        guard !line.isEmpty, line != lines.last else { return }
        lines.append(line)
        lines.removeFirst(max(lines.count - Self.capacity, 0))
        save()
    }

    private func save() {
        guard let file else { return }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        let text = lines.compactMap { try? String(decoding: encoder.encode($0), as: UTF8.self) + "\n" }.joined()
        let manager = FileManager.default
        // What people type is nobody else's business.
        try? manager.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        try? Data(text.utf8).write(to: file, options: .atomic)
        try? manager.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file.path)
    }
}
