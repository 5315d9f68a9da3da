package import Foundation

/// What was downloaded into a folder: `.martlet.json` in it.
package struct ModelRecord: Codable, Sendable {
    static let fileName = ".martlet.json"

    var repository: String
    var revision: String?
    /// Of the latest download.
    package var commit: String
    /// By path.
    package var files: [String: RepositoryFile] = [:]

    /// The record of a folder; nil where there is none that can be read.
    package init?(folder: URL) {
        guard let data = try? Data(contentsOf: folder.appending(path: Self.fileName)), data.count < 64 << 20,
            let record = try? JSONDecoder().decode(ModelRecord.self, from: data),
            record.files.allSatisfy({ $0.key == $0.value.path && RepositoryPath.isSafe($0.key) })
        else { return nil }
        self = record
    }

    init(_ reference: HubReference, commit: String) {
        repository = reference.repository
        revision = reference.revision
        self.commit = commit
    }

    func write(to folder: URL) throws(HubError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        do {
            try encoder.encode(self).write(to: folder.appending(path: Self.fileName), options: .atomic)
        } catch {
            throw HubError(.storage, "cannot write \(Self.fileName) in \(folder.path)")
        }
    }
}
