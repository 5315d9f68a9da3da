import Foundation
import Synchronization
import TestSupport
import Testing

@testable import MartletHub

/// Servers and connections as they should not be: the right bytes, or an error that says what is wrong.
@Suite struct MisbehavingServerTests {
    static let weights = FakeHub.noise(60_000)
    static let files = ["config.json": Array("{}".utf8), "model.safetensors": weights]

    private func isWeights(_ request: LoopbackServer.Request) -> Bool { request.path.hasSuffix("model.safetensors") }

    private func expectsWeights(_ intercept: @escaping FakeHub.Intercept) async throws -> FakeHub {
        let hub = try FakeHub(Self.files, intercept: intercept)
        let folder = TemporaryStore()
        _ = try await folder.pull("org/repo", hub.configuration())
        #expect(folder.bytes("org/repo/model.safetensors") == Self.weights)
        return hub
    }

    private func failure(
        token: String? = nil, retries: Int = 2, _ intercept: @escaping FakeHub.Intercept
    ) async throws -> HubError {
        let hub = try FakeHub(Self.files, intercept: intercept)
        let folder = TemporaryStore()
        var configuration = try hub.configuration(token: token)
        configuration.retries = retries
        let error = try #require(await folder.failure("org/repo", configuration))
        // Whatever happened: no model is there, and the message is one line.
        #expect(folder.names("org") == [])
        #expect(!error.message.contains("\n"))
        return error
    }

    // MARK: Connections

    /// A connection that is cut costs only what had not come yet.
    @Test func connectionsThatBreak() async throws {
        let hub = try await expectsWeights { request in
            guard let range = request.range, range.count > 1500 else { return nil }
            var reply = FakeHub.serve(Self.weights, request)
            reply.dropsAfter = 1000
            return reply
        }
        let ranges = hub.downloads(of: "model.safetensors").compactMap(\.range)
        #expect(ranges.contains(5096..<8192))
    }

    @Test func aServerThatNeverFinishes() async throws {
        let error = try await failure { request in
            guard request.range != nil else { return nil }
            var reply = FakeHub.serve(Self.weights, request)
            reply.dropsAfter = 0
            return reply
        }
        #expect(error.code == .connection, "\(error)")
    }

    /// Which lines a failing pull says on the way.
    private func notes(_ configuration: HubConfiguration) async throws -> (error: HubError, notes: [String]) {
        let notes = Notes()
        var configuration = configuration
        configuration.onRetry = { line in notes.lines.withLock { $0.append(line) } }
        let error = try #require(await TemporaryStore().failure("org/repo", configuration))
        return (error, notes.lines.withLock { $0 })
    }

    private final class Notes: Sendable { let lines = Mutex<[String]>([]) }

    @Test func nobodyThere() async throws {
        var configuration = try HubConfiguration(endpoint: "http://127.0.0.1:1")
        configuration.retryDelay = 0.01
        let (error, notes) = try await notes(configuration)
        #expect(
            error.code == .connection && error.message == "127.0.0.1: no connection: Connection refused", "\(error)")
        // Five retries within a second, one line.
        #expect(notes == ["127.0.0.1: no connection: Connection refused; trying again in 0.01 s"])
    }

    /// An address that is wrong stays wrong: five retries would be a quarter of a minute.
    @Test func aHostThatNobodyKnows() async throws {
        var configuration = try HubConfiguration(endpoint: "http://nosuch.invalid")
        configuration.retryDelay = 1.25
        let (error, notes) = try await notes(configuration)
        #expect(error.code == .unknownHost && error.message == "nosuch.invalid: the host is not known", "\(error)")
        #expect(notes == ["nosuch.invalid: the host is not known; trying again in 1.25 s"])
    }

    // MARK: Ranges

    @Test func rangesThatAreIgnored() async throws {
        let hub = try await expectsWeights { request in
            request.path.hasSuffix("model.safetensors") ? .init(body: Self.weights) : nil
        }
        // One attempt with a range, then the whole file.
        #expect(hub.downloads(of: "model.safetensors").map { $0.range == nil } == [false, true])
    }

    /// What has come is skipped when the stream starts again from its beginning.
    @Test func streamsThatBreak() async throws {
        let count = Mutex(0)
        let hub = try await expectsWeights { request in
            guard request.path.hasSuffix("model.safetensors") else { return nil }
            var reply = LoopbackServer.Reply(body: Self.weights)
            let attempt = count.withLock { count in
                count += 1
                return count
            }
            reply.dropsAfter = attempt * 15_000
            return reply
        }
        #expect((3...6).contains(hub.downloads(of: "model.safetensors").count))
    }

    @Test(arguments: [
        "bytes 0-4095/60001", "bytes 1-4096/60000", "bytes 0-4094/60000", "bytes 0-4095/", "", "bytes */60000",
        "bytes 18446744073709551615-4/1",
    ])
    func wrongRanges(_ range: String) async throws {
        let error = try await failure { request in
            guard request.range != nil else { return nil }
            return .init(206, headers: ["Content-Range": range], body: Array(Self.weights[..<4096]))
        }
        #expect(error.code == .badResponse && error.message.contains("was asked for"), "\(error)")
    }

    // MARK: Bytes

    @Test func wrongBytes() async throws {
        let error = try await failure { request in
            guard let range = request.range else { return nil }
            var reply = FakeHub.serve(Self.weights, request)
            if range.contains(30_000) { reply.body[30_000 - range.lowerBound] ^= 1 }
            return reply
        }
        #expect(error.code == .hashMismatch && error.message.contains("discarded"), "\(error)")
    }

    @Test func wrongBytesOfASmallFile() async throws {
        let error = try await failure { request in
            request.path.hasSuffix("config.json") ? .init(text: "[]") : nil
        }
        #expect(error.code == .hashMismatch && error.message.contains("config.json"), "\(error)")
    }

    @Test func anAnnouncedHashThatIsNotTheListedOne() async throws {
        let other = String(repeating: "0", count: 64)
        let error = try await failure { request in
            request.range == nil ? nil : .init(302, headers: ["Location": "/x", "X-Linked-Etag": "\"\(other)\""])
        }
        #expect(error.code == .hashMismatch, "\(error)")
    }

    @Test func anotherLengthThanListed() async throws {
        let error = try await failure { request in
            request.path.hasSuffix("model.safetensors") ? .init(body: Self.weights + [0]) : nil
        }
        #expect(error.code == .badResponse && error.message.contains("60001"), "\(error)")
    }

    @Test func contentLengthThatIsNotKept() async throws {
        let error = try await failure { request in
            guard request.path.hasSuffix("config.json") else { return nil }
            var reply = LoopbackServer.Reply(text: "{")
            reply.contentLength = 2
            return reply
        }
        #expect(error.code == .connection, "\(error)")
    }

    /// Bytes beyond what was asked for are not waited for.
    @Test(.timeLimit(.minutes(1))) func endlessFiles() async throws {
        _ = try await expectsWeights { request in
            guard request.range != nil else { return nil }
            var reply = FakeHub.serve(Self.weights, request)
            reply.isEndless = true
            return reply
        }
    }

    @Test(.timeLimit(.minutes(1))) func endlessAnswers() async throws {
        let error = try await failure { request in
            guard request.path.hasPrefix("/api/") else { return nil }
            var reply = LoopbackServer.Reply(body: [UInt8](repeating: 0x20, count: 1 << 20))
            reply.isEndless = true
            return reply
        }
        #expect(error.code == .badResponse && error.message.contains("bytes"), "\(error)")
    }

    // MARK: Redirects

    @Test func theTokenStaysWithTheHub() async throws {
        let storage = try LoopbackServer { FakeHub.serve(Self.weights, $0) }
        let hub = try FakeHub(Self.files, storage: storage.address)
        let folder = TemporaryStore()
        _ = try await folder.pull("org/repo", hub.configuration(token: "hf_secret"))
        #expect(folder.bytes("org/repo/model.safetensors") == Self.weights)
        #expect(hub.server.requests.allSatisfy { $0.headers["authorization"] == "Bearer hf_secret" })
        #expect(storage.requests.count == 15)
        #expect(storage.requests.allSatisfy { $0.headers["authorization"] == nil })
    }

    @Test func redirectsOnTheSameHostKeepTheToken() async throws {
        let hub = try FakeHub(Self.files) { request in
            guard request.path.hasPrefix("/api/models/org/repo/revision") else { return nil }
            return .init(
                307, headers: ["Location": "/api/models/org/repo/revision/main".replacing("org/repo", with: "new/name")]
            )
        }
        let error = try #require(await TemporaryStore().failure("org/repo", hub.configuration(token: "t")))
        #expect(error.code == .notFound, "\(error)")
        #expect(hub.server.requests.map(\.path).last == "/api/models/new/name/revision/main")
        #expect(hub.server.requests.last?.headers["authorization"] == "Bearer t")
    }

    @Test(arguments: ["/same", "", "ftp://127.0.0.1/x", "http://", "javascript:x"])
    func redirectsToNowhere(_ location: String) async throws {
        let error = try await failure { request in
            isWeights(request) || request.path == "/same" ? .init(302, headers: ["Location": location]) : nil
        }
        #expect(error.code == .badResponse, "\(error)")
        #expect(error.message.contains("redirect"), "\(error)")
    }

    @Test func tokensGoToOneServerOnly() throws {
        let hub = try HubConfiguration(endpoint: "https://Hub.example/sub/", token: " t \n")
        #expect(hub.endpoint == "https://Hub.example/sub" && hub.token == "t")
        for own in ["https://hub.example/x", "https://HUB.example:443/", "HTTPS://hub.example"] {
            #expect(hub.isOwn(try #require(URL(string: own))), "\(own)")
        }
        for other in [
            "http://hub.example/x", "https://hub.example:444/", "https://hub.example.evil/", "https://xhub.example/",
            "https://hub.example@evil.example/",
        ] {
            #expect(!hub.isOwn(try #require(URL(string: other))), "\(other)")
        }
        #expect(throws: HubError.self) { try HubConfiguration(token: "a\r\nX-Evil: 1") }
        for bad in ["ftp://x", "x", "", "https://", "https://h/?q=1", "https://user:password@h"] {
            #expect(throws: HubError.self, "\(bad)") { try HubConfiguration(endpoint: bad) }
        }
    }

    // MARK: Statuses

    @Test(arguments: [
        (401, HubError.Code.unauthorized, "set HF_TOKEN"), (403, .unauthorized, "gated"), (404, .notFound, "not found"),
        (418, .badResponse, "HTTP 418"), (500, .connection, "HTTP 500"), (429, .rateLimited, "too often"),
    ])
    func statuses(_ status: Int, _ code: HubError.Code, _ text: String) async throws {
        let error = try await failure { request in
            request.path.hasPrefix("/api/") ? .init(status, headers: ["X-Error-Message": "because"]) : nil
        }
        #expect(error.code == code && error.message.contains(text) && error.message.contains("because"), "\(error)")
    }

    /// Whatever is asked for fails once.
    @Test func failuresThatPass() async throws {
        let seen = Mutex<Set<String>>([])
        let hub = try await expectsWeights { request in
            let key = request.path + (request.headers["range"] ?? "")
            let (isNew, count) = seen.withLock { ($0.insert(key).inserted, $0.count) }
            return isNew ? .init([500, 503, 429][count % 3], headers: ["Retry-After": "0"]) : nil
        }
        #expect(hub.server.requests.count == 2 * (2 + 1 + 15))
    }

    @Test func waitsThatAreTooLong() async throws {
        let error = try await failure { _ in .init(429, headers: ["Retry-After": "100000"]) }
        #expect(error.code == .rateLimited)
    }

    @Test(arguments: [
        "", "[", "{}", "null", #"[{"type": "file"}]"#, #"[{"type": "file", "path": "config.json", "size": 2}]"#,
        #"[{"type": "file", "path": "config.json", "size": -2, "oid": "ce013625030ba8dba906f756967f9e9ca394464a"}]"#,
        #"[{"type": "file", "path": "config.json", "size": 1e300, "oid": "ce013625030ba8dba906f756967f9e9ca394464a"}]"#,
        #"[{"type": "file", "path": "config.json", "size": 2, "oid": "../../etc"}]"#,
        #"[{"type": "file", "path": "config.json", "size": 2, "oid": "", "lfs": {"oid": "x", "size": 2}}]"#,
        String(repeating: "[", count: 100_000),
    ])
    func malformedLists(_ text: String) async throws {
        let error = try await failure { request in request.path.contains("/tree/") ? .init(text: text) : nil }
        #expect(error.code == .badResponse, "\(error)")
    }

    @Test(arguments: ["", "{}", #"{"sha": "../.."}"#, #"{"sha": 5}"#, "<html>"])
    func malformedCommits(_ text: String) async throws {
        let error = try await failure { request in request.path.contains("/revision/") ? .init(text: text) : nil }
        #expect(error.code == .badResponse && error.message.contains("no commit"), "\(error)")
    }

    /// Nothing is written outside of the folder, whatever the list says.
    @Test(arguments: [
        "../evil.safetensors", "/etc/evil.safetensors", "a/../../evil.safetensors", ".evil.safetensors",
        "a//evil.safetensors", "a\\\\evil.safetensors", "..",
    ])
    func pathsThatLeaveTheFolder(_ path: String) async throws {
        let error = try await failure { request in
            guard request.path.contains("/tree/") else { return nil }
            return .init(text: FakeHub.tree(["config.json": Array("{}".utf8), path: Self.weights]))
        }
        #expect(error.code == .noModel, "\(error)")
    }

    @Test func listsOfManyPages() async throws {
        let hub = try FakeHub(Self.files) { request in
            guard request.path.contains("/tree/") else { return nil }
            if request.path.contains("cursor=2") {
                return .init(text: FakeHub.tree(Self.files.filter { $0.key != "config.json" }))
            }
            var reply = LoopbackServer.Reply(text: FakeHub.tree(Self.files.filter { $0.key == "config.json" }))
            reply.headers["Link"] = "<\(request.path)&cursor=2>; rel=\"next\""
            return reply
        }
        let folder = TemporaryStore()
        _ = try await folder.pull("org/repo", hub.configuration())
        #expect(folder.bytes("org/repo/model.safetensors") == Self.weights)
    }

    @Test func listsWithoutAnEnd() async throws {
        let error = try await failure { request in
            guard request.path.contains("/tree/") else { return nil }
            return .init(200, headers: ["Link": "<\(request.path)>; rel=\"next\""], body: Array("[]".utf8))
        }
        #expect(error.message.contains("no end"), "\(error)")
    }

    @Test func cancellation() async throws {
        let hub = try FakeHub(Self.files) { request in
            guard request.range != nil else { return nil }
            Thread.sleep(forTimeInterval: 0.2)
            return .init(503)
        }
        var configuration = try hub.configuration()
        configuration.retries = 1000
        let folder = TemporaryStore()
        let task = Task { [configuration, store = folder.store] in
            try await ModelPull.run(HubReference("org/repo"), into: store, configuration: configuration)
        }
        try await Task.sleep(for: .milliseconds(300))
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }
}
