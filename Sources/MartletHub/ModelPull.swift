internal import Foundation
internal import Synchronization

/// Downloads a model from the hub into the folder of models.
///
/// All files are fetched beside the folder first, compared with the hashes that the repository lists, and moved into it
/// at the end; `config.json`, which makes a folder a model, last.
package struct ModelPull: Sendable {
    package struct Result: Sendable {
        package let reference: HubReference
        /// A folder, or a GGUF file.
        package let path: String
        package let commit: String
        /// Of all files of the model.
        package let bytes: Int
        /// What came over the network.
        package let downloaded: Int
    }

    /// Bytes that are here, of all that are to be here, the latest file.
    package typealias Progress = @Sendable (_ completed: Int, _ total: Int, _ file: String) -> Void

    /// Beside the files themselves, for what the file system needs.
    private static let spareBytes = 16 << 20

    private let reference: HubReference
    private let store: ModelStore
    private let client: HubClient
    private let progress: Progress

    package static func run(
        _ reference: HubReference, into store: ModelStore, configuration: HubConfiguration,
        progress: @escaping Progress = { _, _, _ in }
    ) async throws -> Result {
        let client = HubClient(configuration)
        do {
            let pull = ModelPull(reference: reference, store: store, client: client, progress: progress)
            let result = try await pull.run()
            await client.shutdown()
            return result
        } catch {
            await client.shutdown()
            throw error
        }
    }

    /// A file that is not here yet, and what there is of it.
    private typealias Missing = (file: RepositoryFile, partial: PartialFile)

    private func run() async throws -> Result {
        let commit = try await client.commit(of: reference)
        let listed = try await client.files(of: reference.repository, commit: commit)
        let files = try await select(listed, commit: commit)
        let folder = store.folder(of: reference)
        let record = ModelRecord(folder: folder)
        try Self.makeFolder(store.downloads)
        let missing = try open(files.filter { !isThere($0, in: folder, record) })
        let bytes = files.reduce(0) { $0 + $1.size }
        let downloaded = try await download(missing, total: bytes, commit: commit)
        try install(files, missing, commit: commit, in: folder)
        let isFile = files.count == 1 && files[0].path.hasSuffix(".gguf")
        return Result(
            reference: reference, path: (isFile ? folder.appending(path: files[0].path) : folder).relativePath,
            commit: commit, bytes: bytes, downloaded: downloaded)
    }

    /// Another process may have changed the folder meanwhile, so the record is read again.
    private func install(
        _ files: [RepositoryFile], _ missing: [Missing], commit: String, in folder: URL
    ) throws(HubError) {
        try FolderLock.withLock(folder) { () throws(HubError) in
            var record = ModelRecord(folder: folder) ?? ModelRecord(reference, commit: commit)
            let downloaded = Set(missing.map(\.file))
            guard files.allSatisfy({ downloaded.contains($0) || isThere($0, in: folder, record) }) else {
                throw HubError(.storage, "\(folder.relativePath) was changed during the download: pull again")
            }
            record.commit = commit
            var installation = Installation(folder: folder, files: files, record: record)
            try installation.install(missing)
        }
    }

    // MARK: Selection

    private func select(_ listed: [RepositoryFile], commit: String) async throws -> [RepositoryFile] {
        // A repository with a single model in a single file leaves no choice.
        let isGGUFRepository =
            !listed.contains { $0.path.hasSuffix(".safetensors") } && FileSelection.ggufFiles(in: listed).count == 1
        guard case .checkpoint = reference.selection, !isGGUFRepository else {
            return [try FileSelection.gguf(reference, in: listed)]
        }
        let companions = FileSelection.companions(in: listed)
        switch try FileSelection.weights(of: reference.repository, in: listed) {
        case .files(let weights): return companions + weights
        case .index(let index):
            let names = try await shardNames(index, commit: commit)
            return companions + [index] + (try FileSelection.shards(names, of: reference.repository, in: listed))
        }
    }

    private static let maximumIndex = 64 << 20

    private func shardNames(_ index: RepositoryFile, commit: String) async throws -> Set<String> {
        struct Index: Decodable {
            let weightMap: [String: String]
            enum CodingKeys: String, CodingKey { case weightMap = "weight_map" }
        }
        let address = client.address(of: index.path, in: reference.repository, commit: commit)
        let (bytes, _) = try await client.data(address, subject: index.path, limit: Self.maximumIndex)
        guard let parsed = try? JSONDecoder().decode(Index.self, from: Data(bytes)) else {
            throw HubError(.badResponse, "\(reference.repository): \(index.path) is malformed")
        }
        return Set(parsed.weightMap.values)
    }

    /// Whether an earlier download left this very file.
    private func isThere(_ file: RepositoryFile, in folder: URL, _ record: ModelRecord?) -> Bool {
        var status = stat()
        return record?.files[file.path] == file && stat(folder.appending(path: file.path).path, &status) == 0
            && Int(status.st_size) == file.size
    }

    // MARK: Downloading

    /// Files of the same content are downloaded each: they are small ones.
    private func open(_ files: [RepositoryFile]) throws(HubError) -> [Missing] {
        var copies: [String: Int] = [:]
        var result: [Missing] = []
        for file in files {
            let name = file.hash.hex
            let copy = copies[name, default: 0]
            copies[name] = copy + 1
            let path = store.downloads.appending(path: copy == 0 ? name : "\(name)-\(copy)").path
            result.append(
                (file, try PartialFile(path: path, size: file.size, pieceSize: client.configuration.pieceSize)))
        }
        return result
    }

    /// - Returns: the bytes that came.
    private func download(_ files: [Missing], total: Int, commit: String) async throws -> Int {
        let missing = files.reduce(0) { $0 + $1.file.size - $1.partial.completed }
        try DiskSpace.check(missing + (missing > 0 ? Self.spareBytes : 0), at: store.root)
        let counter = Counter(completed: total - missing, total: total, progress)
        let server = FileDownload.Server()
        for (file, partial) in files {
            let download = FileDownload(
                client: client, server: server, file: file,
                address: client.address(of: file.path, in: reference.repository, commit: commit), partial: partial
            ) { counter.add($0, file.path) }
            try await download.run()
        }
        return counter.added
    }

    /// Counts over all connections.
    private final class Counter: Sendable {
        private let start: Int
        private let total: Int
        private let progress: Progress
        private let count = Mutex(0)

        init(completed: Int, total: Int, _ progress: @escaping Progress) {
            start = completed
            self.total = total
            self.progress = progress
        }

        var added: Int { count.withLock { $0 } }

        func add(_ bytes: Int, _ file: String) {
            let added = count.withLock { count in
                count += bytes
                return count
            }
            progress(start + added, total, file)
        }
    }

    static func makeFolder(_ url: URL) throws(HubError) {
        do {
            try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        } catch {
            throw HubError(.storage, "cannot make the folder \(url.path)")
        }
    }
}
