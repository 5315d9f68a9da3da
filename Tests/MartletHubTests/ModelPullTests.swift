import Foundation
import Synchronization
import TestSupport
import Testing

@testable import MartletHub

@Suite struct ModelPullTests {
    static let checkpoint: [String: [UInt8]] = [
        "config.json": Array("{}".utf8), "tokenizer.json": FakeHub.noise(3000, seed: 2),
        "generation_config.json": Array("{}".utf8), "README.md": Array("read me".utf8),
        "pytorch_model.bin": FakeHub.noise(2000, seed: 3), "onnx/model.onnx": FakeHub.noise(10, seed: 4),
        "model.safetensors.index.json": Array(
            #"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#.utf8),
        "model-00001-of-00002.safetensors": FakeHub.noise(50_000, seed: 5),
        "model-00002-of-00002.safetensors": FakeHub.noise(4096, seed: 6),
    ]
    static let wanted = Set(checkpoint.keys).subtracting(["README.md", "pytorch_model.bin", "onnx/model.onnx"])

    @Test func checkpointsAreDownloadedWhole() async throws {
        let hub = try FakeHub(Self.checkpoint)
        let folder = TemporaryStore()
        let result = try await folder.pull("org/repo", hub.configuration())
        #expect(result.path == folder.root.appending(path: "org/repo").path)
        #expect(folder.names("org/repo") == Self.wanted.union([".martlet.json"]))
        for path in Self.wanted { #expect(folder.bytes("org/repo/\(path)") == Self.checkpoint[path]) }
        #expect(folder.names(".downloads") == [])
        #expect(result.bytes == Self.wanted.reduce(0) { $0 + (Self.checkpoint[$1]?.count ?? 0) })
        #expect(result.downloaded == result.bytes)
        // Every range of the large file once, none of the rest at all.
        let ranges = hub.downloads(of: "model-00001-of-00002.safetensors").compactMap(\.range)
        #expect(ranges.count == 13 && Set(ranges.map(\.lowerBound)).count == 13)
        #expect(hub.downloads(of: "README.md").isEmpty)

        let count = hub.server.requests.count
        #expect(try await folder.pull("org/repo", hub.configuration()).downloaded == 0)
        // The commit, the files, and the index, which says what there should be.
        #expect(hub.server.requests.count == count + 3)
    }

    @Test func oneGGUFFile() async throws {
        let files = [
            "model-Q4_K_M.gguf": FakeHub.noise(9000), "model-Q4_K_S.gguf": FakeHub.noise(5000),
            "sub/other-q8_0.gguf": FakeHub.noise(100), "mmproj-model-Q4_K_M.gguf": FakeHub.noise(10),
        ]
        let hub = try FakeHub(files)
        let folder = TemporaryStore()
        let result = try await folder.pull("org/repo:q4_k_m", hub.configuration())
        #expect(result.path == folder.root.appending(path: "org/repo/model-Q4_K_M.gguf").path)
        #expect(folder.bytes("org/repo/model-Q4_K_M.gguf") == files["model-Q4_K_M.gguf"])
        _ = try await folder.pull("org/repo/sub/other-q8_0.gguf", hub.configuration())
        #expect(folder.bytes("org/repo/sub/other-q8_0.gguf") == files["sub/other-q8_0.gguf"])

        let store = folder.store
        #expect(
            store.entries().map(\.reference.description) == [
                "org/repo/model-Q4_K_M.gguf", "org/repo/sub/other-q8_0.gguf",
            ])
        #expect(try store.find(HubReference("org/repo:Q8_0"))?.path.hasSuffix("other-q8_0.gguf") == true)
        #expect(try store.find(HubReference("org/repo")) == nil)
        #expect(try store.remove(HubReference("org/repo:Q8_0")) == 100)
        #expect(folder.names("org/repo") == [".martlet.json", "model-Q4_K_M.gguf"])
        #expect(try store.find(HubReference("org/repo"))?.bytes == 9000)
        #expect(try store.remove(HubReference("org/repo")) == 9000)
        #expect(folder.names("") == [".downloads"])
    }

    @Test(arguments: [
        ("org/repo", "say which"), ("org/repo:Q2_K", "no such file"), ("org/repo:Q4", "no such file"),
        ("org/repo:model", "several files match"), ("org/repo/absent.gguf", "no such file"),
        ("org/repo:F16", "split into several"), ("org/repo/big-F16-00001-of-00002.gguf", "split into several"),
    ])
    func unclearGGUFNames(_ name: String, _ reason: String) async throws {
        let hub = try FakeHub([
            "model-Q4_K_M.gguf": [1], "model-Q4_K_S.gguf": [2], "big-F16-00001-of-00002.gguf": [3],
            "big-F16-00002-of-00002.gguf": [4],
        ])
        let error = try #require(await TemporaryStore().failure(name, hub.configuration()))
        #expect(error.code == .noModel && error.message.contains(reason), "\(error)")
    }

    static let incomplete: [(files: [String: String], reason: String)] = [
        (["config.json": "{}"], "has neither model.safetensors"),
        (["config.json": "{}", "pytorch_model.bin": "x"], "pickles"),
        (["README.md": "x"], "neither config.json nor GGUF"),
        (
            ["config.json": "{}", "model.safetensors.index.json": #"{"weight_map": {"a": "b.safetensors"}}"#],
            "does not have"
        ),
        (
            ["config.json": "{}", "model.safetensors.index.json": #"{"weight_map": {"a": "../../x.safetensors"}}"#],
            "does not have"
        ),
        (["config.json": "{}", "model.safetensors.index.json": "{}"], "malformed"),
        (["config.json": "{}", "model.safetensors.index.json": #"{"weight_map": {}}"#], "names no files"),
    ]

    @Test(arguments: incomplete)
    func repositoriesWithoutAModel(_ files: [String: String], _ reason: String) async throws {
        let hub = try FakeHub(files.mapValues { Array($0.utf8) })
        let folder = TemporaryStore()
        let error = try #require(await folder.failure("org/repo", hub.configuration()))
        #expect(error.message.contains(reason), "\(error)")
        #expect(folder.names("org") == [])
    }

    @Test func aNewRevisionFetchesOnlyWhatChanged() async throws {
        let hub = try FakeHub(Self.checkpoint)
        let folder = TemporaryStore()
        _ = try await folder.pull("org/repo", hub.configuration())
        let weights = FakeHub.noise(7000, seed: 9)
        hub.repository.commit.withLock { $0 = String(repeating: "b", count: 40) }
        hub.repository.files.withLock { files in
            files["model-00002-of-00002.safetensors"] = nil
            files["model-00003-of-00002.safetensors"] = weights
            files["generation_config.json"] = nil
            files["model.safetensors.index.json"] = Array(
                #"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00003-of-00002.safetensors"}}"#
                    .utf8)
        }
        let result = try await folder.pull("org/repo", hub.configuration())
        #expect(result.commit.hasPrefix("b"))
        let index = hub.repository.files.withLock { $0["model.safetensors.index.json"]?.count ?? 0 }
        #expect(result.downloaded == 7000 + index)
        #expect(folder.bytes("org/repo/model-00003-of-00002.safetensors") == weights)
        #expect(
            folder.names("org/repo") == [
                ".martlet.json", "config.json", "tokenizer.json", "model.safetensors.index.json",
                "model-00001-of-00002.safetensors", "model-00003-of-00002.safetensors",
            ])
        #expect(try folder.store.remove(HubReference("org/repo")) > 0)
        #expect(folder.names("") == [".downloads"])
    }

    /// Another process wrote half of it, and this one goes on.
    @Test func aStoppedDownloadGoesOn() async throws {
        let weights = FakeHub.noise(40_000)
        let files = ["config.json": Array("{}".utf8), "model.safetensors": weights]
        let half = try FakeHub(files) { request in
            request.range.map { $0.lowerBound >= 20_000 } ?? false ? .init(403) : nil
        }
        let folder = TemporaryStore()
        #expect(try await folder.failure("org/repo", half.configuration())?.code == .unauthorized)
        #expect(folder.names("org") == [])
        #expect(folder.store.unfinishedBytes > 0)
        let whole = try FakeHub(files)
        let result = try await folder.pull("org/repo", whole.configuration())
        #expect(folder.bytes("org/repo/model.safetensors") == weights)
        // The first piece at least is not fetched again.
        #expect(result.downloaded > 0 && result.downloaded <= 40_000 - 4096)
        #expect(folder.store.unfinishedBytes == 0)
    }

    @Test func unfinishedDownloadsCanBeRemoved() async throws {
        let hub = try FakeHub(["config.json": Array("{}".utf8), "model.safetensors": FakeHub.noise(9000)]) { request in
            request.path.hasSuffix("safetensors") ? .init(403) : nil
        }
        let folder = TemporaryStore()
        _ = try await folder.failure("org/repo", hub.configuration())
        #expect(!folder.names(".downloads").isEmpty)
        _ = try folder.store.removeDownloads()
        #expect(folder.names("") == [])
    }

    /// One file of a repository is downloaded while another one is, and a third goes.
    @Test func pullsBesideEachOtherKeepTheirRecords() async throws {
        let files = ["a.gguf": FakeHub.noise(3000), "b.gguf": FakeHub.noise(100, seed: 2), "c.gguf": [1, 2]]
        let othersAreDone = DispatchSemaphore(value: 0)
        let (started, isStarted) = AsyncStream<Void>.makeStream()
        let slow = try FakeHub(files) { request in
            guard request.path.hasSuffix("/a.gguf") else { return nil }
            isStarted.finish()
            _ = othersAreDone.wait(timeout: .now() + 20)
            othersAreDone.signal()
            return nil
        }
        let hub = try FakeHub(files)
        let folder = TemporaryStore()
        _ = try await folder.pull("org/repo/c.gguf", hub.configuration())
        let (store, configuration) = (folder.store, try slow.configuration())
        async let first = ModelPull.run(HubReference("org/repo/a.gguf"), into: store, configuration: configuration)
        for await _ in started {}
        _ = try await folder.pull("org/repo/b.gguf", hub.configuration())
        _ = try store.remove(HubReference("org/repo/c.gguf"))
        othersAreDone.signal()
        _ = try await first
        #expect(folder.names("org/repo") == [".martlet.json", "a.gguf", "b.gguf"])
        let record = try #require(ModelRecord(folder: folder.root.appending(path: "org/repo")))
        #expect(Set(record.files.keys) == ["a.gguf", "b.gguf"])
        // So both can go, and nothing is left.
        for name in ["a", "b"] { _ = try folder.store.remove(HubReference("org/repo/\(name).gguf")) }
        #expect(folder.names("") == [".downloads"])
    }

    @Test func aModelThatGoesDuringItsDownloadIsNotHalfThere() async throws {
        let files = ["config.json": Array("{}".utf8), "model.safetensors": FakeHub.noise(3000)]
        let folder = TemporaryStore()
        let older = try FakeHub(files)
        _ = try await folder.pull("org/repo", older.configuration())
        var newer = files
        newer["config.json"] = Array("{ }".utf8)
        let hub = try FakeHub(newer) { [store = folder.store] request in
            if request.path.hasSuffix("config.json") { _ = try? store.remove(HubReference("org/repo")) }
            return nil
        }
        let error = try #require(await folder.failure("org/repo", hub.configuration()))
        #expect(error.code == .storage && error.message.contains("was changed during the download"), "\(error)")
        #expect(folder.store.entries().isEmpty)
    }

    /// Nobody changes a folder that somebody else changes.
    @Test func foldersAreChangedOneAtATime() async throws {
        let hub = try FakeHub(["a.gguf": FakeHub.noise(100)])
        let folder = TemporaryStore()
        _ = try await folder.pull("org/repo/a.gguf", hub.configuration())
        #expect(try Self.removalWaits(for: folder.root.appending(path: "org/repo"), in: folder.store))
        #expect(folder.names("") == [".downloads"])
    }

    /// Whether a model is removed when its folder is free, and not before.
    private static func removalWaits(for model: URL, in store: ModelStore) throws -> Bool {
        let isRemoved = DispatchSemaphore(value: 0)
        var hasWaited = false
        try FolderLock.withLock(model) { () throws(HubError) in
            Thread.detachNewThread {
                _ = try? store.remove(HubReference("org/repo/a.gguf"))
                isRemoved.signal()
            }
            hasWaited = isRemoved.wait(timeout: .now() + 0.2) == .timedOut && store.entries().count == 1
        }
        return hasWaited && isRemoved.wait(timeout: .now() + 20) == .success
    }

    @Test func foldersOfOthersAreNotRemoved() async throws {
        let folder = TemporaryStore()
        let model = folder.root.appending(path: "org/repo")
        try FileManager.default.createDirectory(at: model, withIntermediateDirectories: true)
        try Data("{}".utf8).write(to: model.appending(path: "config.json"))
        #expect(folder.store.entries().map(\.reference.description) == ["org/repo"])
        #expect(throws: HubError.self) { try folder.store.remove(HubReference("org/repo")) }
        #expect(folder.names("org/repo") == ["config.json"])
    }

    @Test func revisionsStandBesideEachOther() async throws {
        let files = ["config.json": Array("{}".utf8), "model.safetensors": FakeHub.noise(20)]
        let hub = try FakeHub(files) { request in
            request.path == "/api/models/org/repo/revision/refs%2Fpr%2F1"
                ? .init(text: #"{"sha": "\#(String(repeating: "a", count: 40))"}"#) : nil
        }
        let folder = TemporaryStore()
        let result = try await folder.pull("org/repo@refs/pr/1", hub.configuration())
        #expect(result.path.hasSuffix("/org/repo@refs%2Fpr%2F1"))
        _ = try await folder.pull("org/repo", hub.configuration())
        #expect(folder.store.entries().map(\.reference.description) == ["org/repo", "org/repo@refs/pr/1"])
    }

    @Test func theDiskMustHaveRoom() throws {
        let error = #expect(throws: HubError.self) {
            try DiskSpace.check(1 << 60, at: FileManager.default.temporaryDirectory)
        }
        #expect(error?.message.contains("not enough room") ?? false)
        try DiskSpace.check(1, at: FileManager.default.temporaryDirectory)
    }

    /// Known values: `printf abc | sha256sum`, `printf 'hello\n' | git hash-object --stdin`.
    @Test func hashes() {
        #expect(
            FakeHub.hash(.sha256(""), Array("abc".utf8))
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(FakeHub.hash(.gitBlob(""), Array("hello\n".utf8)) == "ce013625030ba8dba906f756967f9e9ca394464a")
    }
}
