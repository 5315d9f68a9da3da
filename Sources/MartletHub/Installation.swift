internal import Foundation

/// Puts downloaded files into a model's folder.
///
/// `config.json` makes a folder a model: it goes first and comes back last, so that at no time a model is there that is made of
/// two revisions. Made and used within a `FolderLock`.
struct Installation {
    let folder: URL
    /// All files of the model, those that are there already too.
    let files: [RepositoryFile]
    private(set) var record: ModelRecord

    init(folder: URL, files: [RepositoryFile], record: ModelRecord) {
        (self.folder, self.files, self.record) = (folder, files, record)
    }

    private var configuration: String { folder.appending(path: FileSelection.configurationName).path }
    private var hiddenConfiguration: String { folder.appending(path: ".config.json.old").path }

    /// Moves the files that were missing to their places, and removes those that the new revision does not have.
    mutating func install(_ missing: [(file: RepositoryFile, partial: PartialFile)]) throws(HubError) {
        let isCheckpoint = files.contains { $0.path == FileSelection.configurationName }
        let stale = record.files.keys.filter { path in
            isCheckpoint && !path.hasSuffix(".gguf") && !files.contains { $0.path == path }
        }
        let hidesConfiguration = isCheckpoint && !(missing.isEmpty && stale.isEmpty)
        if hidesConfiguration { try hideConfiguration() }
        for path in stale {
            unlink(folder.appending(path: path).path)
            record.files[path] = nil
        }
        for (file, partial) in missing {
            let isConfiguration = isCheckpoint && file.path == FileSelection.configurationName
            let destination = isConfiguration ? URL(filePath: hiddenConfiguration) : folder.appending(path: file.path)
            try ModelPull.makeFolder(destination.deletingLastPathComponent())
            try partial.move(to: destination.path)
            record.files[file.path] = file
            // Written each time: whatever stops us, no file is downloaded twice.
            try record.write(to: folder)
        }
        if hidesConfiguration {
            guard rename(hiddenConfiguration, configuration) == 0 else {
                throw .storage("cannot rename \(hiddenConfiguration)")
            }
        }
        try record.write(to: folder)
    }

    private func hideConfiguration() throws(HubError) {
        guard rename(configuration, hiddenConfiguration) == 0 || errno == ENOENT else {
            throw .storage("cannot rename \(configuration)")
        }
    }
}
