import Foundation
import Logging
import Martlet
import NIOCore
import ServiceLifecycle
import TestSupport
import Testing

@testable import MartletServer

/// A server whose model is not there yet.
@Suite(.timeLimit(.minutes(2)))
struct LoadingTests {
    /// What a test lets the loader do, once it has seen enough.
    struct Gate: Sendable {
        let results: AsyncStream<Result<LLM, any Error>>
        private let opening: AsyncStream<Result<LLM, any Error>>.Continuation

        init() { (results, opening) = AsyncStream.makeStream() }

        func open(_ result: Result<LLM, any Error>) { opening.yield(result) }

        func load(_ progress: @Sendable (Double) -> Void) async throws -> LLM {
            progress(0.25)
            for await result in results { return try result.get() }
            throw CancellationError()
        }
    }

    private struct NoModel: Error {}

    /// Runs a server that loads what comes through the gate.
    ///
    /// - Parameter body: gets the port where the server listens, and the ports at which it says that it is ready.
    static func withServer(
        keys: [String] = [], _ change: (inout ServerOptions) -> Void = { _ in },
        _ body: (_ port: Int, Gate, _ ready: AsyncStream<Int>, _ stop: @escaping @Sendable () async -> Void)
            async throws
            -> Void
    ) async throws {
        let gate = Gate()
        var options = ServerOptions()
        options.port = 0
        options.modelNames = ["SmolLM2"]
        options.apiKeys = keys
        change(&options)
        let (listening, listens) = AsyncStream<Int>.makeStream()
        let (ready, isReady) = AsyncStream<Int>.makeStream()
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let server = Server(
            options: options, version: "1.2.3", logger: logger, onListening: { listens.yield($0) },
            onReady: { isReady.yield($0) }, load: { try await gate.load($0) })
        let group = ServiceGroup(configuration: .init(services: [server], logger: logger))
        let running = Task { try await group.run() }
        var ports = listening.makeAsyncIterator()
        let port = try #require(await ports.next())
        let stop: @Sendable () async -> Void = {
            await group.triggerGracefulShutdown()
            _ = await running.result
        }
        do {
            try await body(port, gate, ready, stop)
        } catch {
            await stop()
            throw error
        }
        await stop()
        try await running.value
    }

    private static let chat = #"{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}"#

    @Test func untilThereIsAModelItsRoutesAnswer503() async throws {
        try await Self.withServer { port, _, _, _ in
            let health = try await ServerTests.get(port, "/health")
            #expect(health.status == 200)
            #expect(health.json?["status"] as? String == "loading")
            #expect(health.json?["progress"] as? Double == 0.25)
            #expect(try await ServerTests.get(port, "/version").json?["version"] as? String == "1.2.3")
            #expect(try await ServerTests.get(port, "/api/version").status == 200)
            #expect(try await ServerTests.get(port, "/").status == 200)

            func expectRefusal(_ response: HTTPClient.Response, _ path: String, _ status: Int = 503) {
                #expect(response.status == status, "\(path)")
                #expect((1...60).contains(Int(response.headers["retry-after"] ?? "") ?? 0), "\(path)")
            }
            for path in ["/ready", "/v1/models", "/v1/models/SmolLM2", "/openapi.json"] {
                let response = try await ServerTests.get(port, path)
                expectRefusal(response, path)
                #expect(response.error?["code"] as? String == "service_unavailable")
            }
            for path in [
                "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/tokenize",
                "/detokenize",
                "/apply-template",
            ] {
                let response = try await ServerTests.post(port, path, Self.chat)
                expectRefusal(response, path)
                #expect(response.error?["type"] as? String == "server_error")
                #expect(response.error?["code"] as? String == "service_unavailable")
            }
            for path in ["/v1/messages", "/v1/messages/count_tokens"] {
                let response = try await ServerTests.post(port, path, Self.chat)
                expectRefusal(response, path, 529)
                #expect(response.json?["type"] as? String == "error")
                #expect(response.error?["type"] as? String == "overloaded_error")
            }
            for path in ["/api/chat", "/api/generate", "/api/embed", "/api/embeddings", "/api/show"] {
                let response = try await ServerTests.post(port, path, Self.chat)
                expectRefusal(response, path)
                #expect((response.json?["error"] as? String)?.isEmpty == false)
            }
            expectRefusal(try await ServerTests.get(port, "/api/tags"), "/api/tags")

            let metrics = try await ServerTests.get(port, "/metrics").body
            #expect(metrics.contains("martlet:http_requests_total{status=\"529\",model_name=\"SmolLM2\"} 2\n"))
            #expect(metrics.contains("\nprocess_open_fds "))
            #expect(!metrics.contains("num_requests_running"))
        }
    }

    @Test func aKeyIsWantedFromTheStart() async throws {
        try await Self.withServer(keys: ["secret"]) { port, _, _, _ in
            let health = try await ServerTests.get(port, "/health")
            #expect(health.status == 200)
            #expect(try await ServerTests.get(port, "/ready").status == 503)
            for path in ["/version", "/metrics", "/v1/models"] {
                #expect(try await ServerTests.get(port, path).status == 401)
            }
            let headers = ["Authorization": "Bearer secret"]
            #expect(try await ServerTests.get(port, "/v1/models", headers).status == 503)
            #expect(try await ServerTests.get(port, "/metrics", headers).status == 200)
        }
    }

    @Test(.enabled(if: TestModel.isPresent, Comment(rawValue: TestModel.absence)))
    func onceThereIsAModelItIsServed() async throws {
        var load = LoadOptions()
        load.contextLength = 256
        load.maxRequests = 2
        let llm = try await LLM.load(SharedFixtures.smolLM2?.path ?? "", options: load)
        try await Self.withServer { port, gate, ready, _ in
            #expect(try await ServerTests.post(port, "/v1/chat/completions", Self.chat).status == 503)
            gate.open(.success(llm))
            var ports = ready.makeAsyncIterator()
            #expect(await ports.next() == port)
            #expect(try await ServerTests.get(port, "/ready").json?["status"] as? String == "ok")
            #expect(try await ServerTests.get(port, "/health").json?["status"] as? String == "ok")
            #expect(try await ServerTests.post(port, "/v1/chat/completions", Self.chat).status == 200)
            // What was counted before counts still, and the prompt's tokens have the model's buckets.
            let metrics = try await ServerTests.get(port, "/metrics").body
            #expect(metrics.contains("martlet:http_requests_total{status=\"503\",model_name=\"SmolLM2\"} 1\n"))
            #expect(metrics.contains("martlet:request_prompt_tokens_bucket{le=\"200.0\",model_name=\"SmolLM2\"} 1\n"))
        }
    }

    @Test func aModelThatCantBeLoadedEndsTheServer() async throws {
        await #expect(throws: NoModel.self) {
            try await Self.withServer { port, gate, _, _ in
                gate.open(.failure(NoModel()))
                while (try? await ServerTests.get(port, "/health")) != nil {
                    try await Task.sleep(for: .milliseconds(1))
                }
            }
        }
    }

    @Test func aServerThatLoadsStopsAtOnce() async throws {
        try await Self.withServer { port, _, _, stop in
            let health = try await ServerTests.get(port, "/health")
            #expect(health.status == 200)
            let start = ContinuousClock.now
            await stop()
            #expect(ContinuousClock.now - start < .seconds(1))
        }
    }

    @Test func aPortThatIsTakenIsNamed() async throws {
        try await Self.withServer { port, gate, _, _ in
            var options = ServerOptions()
            options.port = port
            var logger = Logger(label: "test")
            logger.logLevel = .critical
            let other = Server(options: options, version: "1", logger: logger, load: { try await gate.load($0) })
            let group = ServiceGroup(configuration: .init(services: [other], logger: logger))
            let failure = await #expect(throws: Server.ListenFailure.self) { try await group.run() }
            #expect(failure?.description == "cannot listen at 127.0.0.1:\(port): Address already in use")
            _ = try await ServerTests.get(port, "/health")
        }
    }

    /// A socket that was left behind is replaced, and none that a server listens at.
    @Test func aSocketInUseIsLeftAlone() async throws {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let path = folder.url.appending(path: "socket").path
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        let bound = try SocketAddress(unixDomainSocketPath: path).withSockAddr { bind(descriptor, $0, socklen_t($1)) }
        close(descriptor)
        #expect(bound == 0 && FileManager.default.fileExists(atPath: path))
        try await Self.withServer {
            $0.unixSocket = path
        } _: { _, gate, _, _ in
            var options = ServerOptions()
            options.unixSocket = path
            var logger = Logger(label: "test")
            logger.logLevel = .critical
            let other = Server(options: options, version: "1", logger: logger, load: { try await gate.load($0) })
            let group = ServiceGroup(configuration: .init(services: [other], logger: logger))
            let failure = await #expect(throws: Server.ListenFailure.self) { try await group.run() }
            #expect(failure?.description == "cannot listen at \(path): Address already in use")
        }
    }

    @Test func theTimeLeftIsEstimated() {
        #expect(ServerState.secondsLeft(progress: 0, after: .seconds(9)) == 1)
        #expect(ServerState.secondsLeft(progress: 0.5, after: .seconds(9)) == 9)
        #expect(ServerState.secondsLeft(progress: 0.75, after: .seconds(9)) == 3)
        #expect(ServerState.secondsLeft(progress: 1, after: .seconds(9)) == 1)
        #expect(ServerState.secondsLeft(progress: 0.001, after: .seconds(9)) == 60)
    }
}
