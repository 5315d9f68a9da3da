import Foundation
import Synchronization
import TestSupport

@testable import MartletHub

/// The hub's API over a few files in memory. `intercept` may answer in its place.
final class FakeHub: Sendable {
    typealias Intercept = @Sendable (LoopbackServer.Request) -> LoopbackServer.Reply?

    /// What the repository holds; tests may change it.
    final class Repository: Sendable {
        let commit = Mutex(String(repeating: "a", count: 40))
        /// By path.
        let files: Mutex<[String: [UInt8]]>

        init(_ files: [String: [UInt8]]) { self.files = Mutex(files) }
    }

    /// Larger files are in large-file storage.
    static let smallSize = 1000

    let repository: Repository
    let server: LoopbackServer

    /// - Parameter storage: the server that large files are redirected to; nil for no redirect.
    init(_ files: [String: [UInt8]], storage: String? = nil, intercept: @escaping Intercept = { _ in nil }) throws {
        let repository = Repository(files)
        self.repository = repository
        server = try LoopbackServer { request in
            intercept(request) ?? Self.answer(request, repository, storage: storage)
        }
    }

    func configuration(token: String? = nil) throws -> HubConfiguration {
        var configuration = try HubConfiguration(endpoint: server.address, token: token)
        configuration.retryDelay = 0.01
        configuration.readTimeout = 5
        configuration.pieceSize = 4096
        return configuration
    }

    /// Requests for a file's bytes.
    func downloads(of path: String) -> [LoopbackServer.Request] {
        server.requests.filter { $0.path.hasPrefix("/org/repo/resolve/") && $0.path.hasSuffix("/" + path) }
    }

    private static func answer(
        _ request: LoopbackServer.Request, _ repository: Repository, storage: String?
    ) -> LoopbackServer.Reply {
        let commit = repository.commit.withLock { $0 }
        let files = repository.files.withLock { $0 }
        if request.path == "/api/models/org/repo/revision/main" { return .init(text: #"{"sha": "\#(commit)"}"#) }
        if request.path == "/api/models/org/repo/tree/\(commit)?recursive=true" { return .init(text: tree(files)) }
        let prefix = "/org/repo/resolve/\(commit)/"
        guard request.path.hasPrefix(prefix), let bytes = files[String(request.path.dropFirst(prefix.count))] else {
            return .init(404, text: "not found")
        }
        if let storage, bytes.count > smallSize {
            return .init(302, headers: ["Location": storage + request.path])
        }
        return serve(bytes, request)
    }

    /// A file, or the range of it that was asked for.
    static func serve(_ bytes: [UInt8], _ request: LoopbackServer.Request) -> LoopbackServer.Reply {
        guard let range = request.range, range.upperBound <= bytes.count else { return .init(body: bytes) }
        let content = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(bytes.count)"
        return .init(206, headers: ["Content-Range": content], body: Array(bytes[range]))
    }

    static func tree(_ files: [String: [UInt8]]) -> String {
        let entries = files.sorted { $0.key < $1.key }.map { path, bytes in
            let name = #""type": "file", "path": "\#(path)", "size": \#(bytes.count)"#
            let object = hash(.gitBlob(""), bytes)
            guard bytes.count > smallSize else { return #"{\#(name), "oid": "\#(object)"}"# }
            let oid = hash(.sha256(""), bytes)
            return
                #"{\#(name), "oid": "\#(object)", "lfs": {"oid": "\#(oid)", "size": \#(bytes.count), "pointerSize": 1}}"#
        }
        return "[" + (entries + [#"{"type": "directory", "path": "x", "size": 0, "oid": ""}"#]).joined(separator: ", ")
            + "]"
    }

    static func hash(_ kind: ContentHash, _ bytes: [UInt8]) -> String {
        var hasher = kind.hasher(size: bytes.count)
        bytes.withUnsafeBytes { hasher.update($0) }
        return hasher.finalize()
    }

    /// Bytes without a pattern that a misplaced range could hide in.
    static func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
        var state = seed
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
    }
}

/// A folder of models that is gone when the test is over.
final class TemporaryStore {
    let root = FileManager.default.temporaryDirectory.appending(path: "martlet-hub-\(UUID().uuidString)")
    var store: ModelStore { ModelStore(root: root) }

    deinit { try? FileManager.default.removeItem(at: root) }

    func bytes(_ path: String) -> [UInt8]? { (try? Data(contentsOf: root.appending(path: path))).map(Array.init) }

    func names(_ path: String) -> Set<String> {
        Set((try? FileManager.default.contentsOfDirectory(atPath: root.appending(path: path).path)) ?? [])
    }

    func pull(_ name: String, _ configuration: HubConfiguration) async throws -> ModelPull.Result {
        try await ModelPull.run(HubReference(name), into: store, configuration: configuration)
    }

    /// The error that a pull must end with.
    func failure(_ name: String, _ configuration: HubConfiguration) async -> HubError? {
        do {
            _ = try await pull(name, configuration)
            return nil
        } catch {
            return error as? HubError
        }
    }
}
