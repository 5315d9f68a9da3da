package import Foundation

/// The folder where downloaded models are kept: `org/repo/…` for each repository, `org/repo@revision/…` for each revision
/// that was asked for by name, and unfinished downloads in `.downloads`.
package struct ModelStore: Sendable {
    package let root: URL

    package init(root: URL) { self.root = root }

    var downloads: URL { root.appending(path: ".downloads") }

    package func folder(of reference: HubReference) -> URL {
        let suffix = reference.revision.map { "@" + RepositoryPath.encoded($0, keepsSlashes: false) } ?? ""
        return root.appending(path: reference.repository + suffix)
    }

    // MARK: Finding

    /// A model in the folder, complete.
    package struct Entry: Sendable {
        package let reference: HubReference
        /// A folder with a `config.json`, or a GGUF file.
        package let path: String
        package let bytes: Int
        package let modified: Date
    }

    /// All models that were downloaded, by name.
    package func entries() -> [Entry] {
        children(root).flatMap { organization in
            children(organization).flatMap { entries(in: $0, organization: organization.lastPathComponent) }
        }.sorted { $0.reference.description < $1.reference.description }
    }

    private func entries(in folder: URL, organization: String) -> [Entry] {
        let parts = folder.lastPathComponent.split(separator: "@", maxSplits: 1).map(String.init)
        let revision = parts.count == 2 ? parts[1].removingPercentEncoding : nil
        func entry(_ selection: HubReference.Selection, _ url: URL, _ files: [URL]) -> Entry {
            let values = files.compactMap {
                try? $0.resourceValues(forKeys: [.fileSizeKey, .contentModificationDateKey])
            }
            return Entry(
                reference: HubReference(
                    repository: "\(organization)/\(parts[0])", revision: revision, selection: selection),
                path: url.relativePath, bytes: values.reduce(0) { $0 + ($1.fileSize ?? 0) },
                modified: values.compactMap(\.contentModificationDate).max() ?? .distantPast)
        }
        let files = files(in: folder)
        var entries: [Entry] = []
        if let configuration = files.first(where: { $0.path == FileSelection.configurationName }) {
            let isRest = { (path: String) in !path.hasSuffix(".gguf") }
            entries.append(
                entry(
                    .checkpoint, configuration.url.deletingLastPathComponent(),
                    files.filter { isRest($0.path) }.map(\.url)))
        }
        for file in files where file.path.hasSuffix(".gguf") {
            entries.append(entry(.file(file.path), file.url, [file.url]))
        }
        return entries
    }

    /// The model that a name means, if it is here.
    package func find(_ reference: HubReference) -> Entry? {
        let folder = folder(of: reference)
        let organization = folder.deletingLastPathComponent().lastPathComponent
        let entries = entries(in: folder, organization: organization)
        func only(_ matches: [Entry]) -> Entry? { matches.count == 1 ? matches[0] : nil }
        switch reference.selection {
        case .checkpoint:
            // A repository of which one GGUF file was downloaded is that file.
            return entries.first { $0.reference.selection == .checkpoint } ?? only(entries)
        case .file(let path): return entries.first { $0.reference.selection == .file(path) }
        case .quantization(let name):
            return only(
                entries.filter { entry in
                    if case .file(let path) = entry.reference.selection {
                        GGUFFileName.matches(path, quantization: name)
                    } else {
                        false
                    }
                })
        }
    }

    private func children(_ folder: URL) -> [URL] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.filter { !$0.hasPrefix(".") }.sorted().map { folder.appending(path: $0) }
            .filter(Self.isFolder)
    }

    /// Files below a folder by their path in it, hidden ones apart; three levels are more than any repository's models have.
    private func files(in folder: URL, prefix: String = "", depth: Int = 3) -> [(path: String, url: URL)] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.filter { !$0.hasPrefix(".") }.sorted().flatMap { name -> [(path: String, url: URL)] in
            let url = folder.appending(path: name)
            guard Self.isFolder(url) else { return [(prefix + name, url)] }
            return depth > 1 ? files(in: url, prefix: prefix + name + "/", depth: depth - 1) : []
        }
    }

    private static func isFolder(_ url: URL) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder) && isFolder.boolValue
    }

    // MARK: Removing

    /// Removes a model's files, and folders that are empty then.
    ///
    /// - Returns: the bytes that are free again.
    /// - Throws: `HubError.notFound` if there is no such model; `HubError.storage` for a folder that was not downloaded, or if
    ///   a file can't be removed.
    package func remove(_ reference: HubReference) throws(HubError) -> Int {
        func found() throws(HubError) -> Entry {
            guard let entry = find(reference) else {
                throw HubError(.notFound, "no model '\(reference)' in \(root.relativePath)")
            }
            return entry
        }
        _ = try found()
        let folder = folder(of: reference)
        let (bytes, paths) = try FolderLock.withLock(folder) { () throws(HubError) in
            // Nobody else removes it now.
            let entry = try found()
            return (entry.bytes, try removeFiles(of: entry, in: folder))
        }
        removeEmptyFolders(paths, in: folder)
        return bytes
    }

    /// - Returns: the paths in the folder that are gone.
    private func removeFiles(of entry: Entry, in folder: URL) throws(HubError) -> [String] {
        guard var record = ModelRecord(folder: folder) else {
            throw HubError(.storage, "\(folder.relativePath) was not made by 'martlet pull': remove it by hand")
        }
        var paths: [String]
        if case .file(let path) = entry.reference.selection {
            paths = [path]
        } else {
            // config.json first: what is left of a model that was not removed whole is no model.
            paths = record.files.keys.filter { !$0.hasSuffix(".gguf") }
            paths.sort { $0 == FileSelection.configurationName && $1 != $0 }
        }
        for path in paths {
            let file = folder.appending(path: path).path
            guard unlink(file) == 0 || errno == ENOENT else { throw .storage("cannot remove \(file)") }
            record.files[path] = nil
        }
        if record.files.isEmpty {
            unlink(folder.appending(path: ModelRecord.fileName).path)
        } else {
            try record.write(to: folder)
        }
        return paths
    }

    /// Folders of removed files, the repository's and the organization's; rmdir refuses those that still hold something.
    private func removeEmptyFolders(_ paths: [String], in folder: URL) {
        for path in Set(paths.map { $0.split(separator: "/").dropLast().joined(separator: "/") }).sorted().reversed()
        where !path.isEmpty {
            rmdir(folder.appending(path: path).path)
        }
        rmdir(folder.path)
        rmdir(folder.deletingLastPathComponent().path)
    }

    /// Removes unfinished downloads.
    ///
    /// - Returns: the bytes that are free again.
    package func removeDownloads() throws(HubError) -> Int {
        let bytes = unfinishedBytes
        do {
            if FileManager.default.fileExists(atPath: downloads.path) {
                try FileManager.default.removeItem(at: downloads)
            }
        } catch {
            throw HubError(.storage, "cannot remove \(downloads.relativePath)")
        }
        return bytes
    }

    /// Bytes on the disk that unfinished downloads take.
    package var unfinishedBytes: Int {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: downloads.path)) ?? []
        return names.reduce(0) { sum, name in
            var status = stat()
            return stat(downloads.appending(path: name).path, &status) == 0 ? sum + Int(status.st_blocks) * 512 : sum
        }
    }
}
