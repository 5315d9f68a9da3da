import Foundation
import Logging
import Martlet
import Synchronization
import TestSupport
import Testing

@testable import MartletServer

/// Every request is counted and logged once, at its end.
@Suite(.enabled(if: TestModel.isPresent, Comment(rawValue: TestModel.absence)), .serialized, .timeLimit(.minutes(2)))
struct AccessLogTests {
    /// Keeps what is logged.
    private final class Lines: Sendable {
        private let lines = Mutex<[(text: String, milliseconds: Int)]>([])

        var all: [(text: String, milliseconds: Int)] { lines.withLock { $0 } }
        func add(_ text: String, _ milliseconds: Int) { lines.withLock { $0.append((text, milliseconds)) } }
    }

    private struct Handler: LogHandler {
        let lines: Lines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.info

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            lines.add(event.message.description, Int(event.metadata?["ms"]?.description ?? "") ?? -1)
        }
    }

    private static let body = #"{"prompt": "Once", "ignore_eos": true, "max_tokens": 600, "stream": true}"#

    private static func metrics(_ port: Int) async throws -> String {
        try await ServerTests.get(port, "/metrics").body
    }

    @Test func streamsAreCountedAtTheirEnd() async throws {
        let lines = Lines()
        var setup = ServerTests.Setup()
        setup.logger = Logger(label: "test") { _ in Handler(lines: lines) }
        try await ServerTests.withServer(setup) { port, _, _ in
            let line = "POST /v1/completions"
            let counted = "martlet:http_requests_total{status=\"200\""
            let client = try await HTTPClient.onThread {
                let client = try HTTPClient(port: port)
                try client.send(HTTPClient.request("POST", "/v1/completions", body: Self.body))
                _ = try client.receive { $0.count > 1000 }
                return client
            }
            #expect(!(try await Self.metrics(port)).contains(counted))
            #expect(!lines.all.contains { $0.text.hasPrefix(line) })
            let start = ContinuousClock.now
            let bytes = try await HTTPClient.onThread { try client.receive() }
            #expect(String(decoding: bytes, as: UTF8.self).contains("[DONE]"))
            let time = Int((ContinuousClock.now - start).seconds * 1000)
            #expect(try await Self.metrics(port).contains("\(counted),model_name=\"SmolLM2\"} 2\n"))
            let entry = try #require(lines.all.first { $0.text.hasPrefix(line) })
            #expect(entry.text == line + " 200" && entry.milliseconds >= time)
        }
    }

    @Test func whoLeavesIsNoError() async throws {
        let lines = Lines()
        var setup = ServerTests.Setup()
        setup.logger = Logger(label: "test") { _ in Handler(lines: lines) }
        try await ServerTests.withServer(setup) { port, _, _ in
            let client = try await HTTPClient.onThread {
                let client = try HTTPClient(port: port)
                try client.send(HTTPClient.request("POST", "/v1/completions", body: Self.body))
                _ = try client.receive { $0.count > 1000 }
                return client
            }
            client.disconnect()
            func requests() -> [String] { lines.all.map(\.text).filter { $0.hasPrefix("POST") } }
            while requests().isEmpty { try await Task.sleep(for: .milliseconds(1)) }
            // They leave at once, each at a moment of its own.
            for index in 0..<40 {
                try await HTTPClient.onThread {
                    let client = try HTTPClient(port: port)
                    try client.send(HTTPClient.request("POST", "/v1/completions", body: Self.body))
                    usleep(UInt32(index * 50))
                    client.disconnect()
                }
            }
            while requests().count < 30 { try await Task.sleep(for: .milliseconds(1)) }
            try await Task.sleep(for: .milliseconds(200))
            #expect(Set(requests()) == ["POST /v1/completions 499"])
            #expect(!lines.all.contains { $0.text.contains("failed") })
            #expect(!(try await Self.metrics(port)).contains("status=\"500\""))
        }
    }

    @Test func largeHeadsAreCounted() async throws {
        let lines = Lines()
        var setup = ServerTests.Setup()
        setup.logger = Logger(label: "test") { _ in Handler(lines: lines) }
        try await ServerTests.withServer(setup) { port, _, _ in
            let response = try await ServerTests.get(port, "/health", ["X": String(repeating: "a", count: 40_000)])
            #expect(response.status == 431)
            #expect(
                try await Self.metrics(port).contains("http_requests_total{status=\"431\",model_name=\"SmolLM2\"} 1\n"))
            #expect(lines.all.contains { $0.text == "- - 431" })
        }
    }

    @Test func whatNobodyEndsWasLeft() {
        let status = AccessLogEntry.clientLeft
        let ends = Mutex<[Int]>([])
        var entry: AccessLogEntry? = AccessLogEntry { status in ends.withLock { $0.append(status) } }
        entry = nil
        #expect(ends.withLock { $0 } == [status] && entry == nil)
        entry = AccessLogEntry { status in ends.withLock { $0.append(status) } }
        entry?.end(200)
        entry = nil
        #expect(ends.withLock { $0 } == [status, 200])
    }
}
