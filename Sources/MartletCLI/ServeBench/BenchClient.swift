import AsyncHTTPClient
import Foundation
import Martlet
import MartletHub
import MartletJinja
import MartletServer
import NIOCore
import NIOHTTP1

/// Sends requests to a server and takes the times of what comes back.
struct BenchClient: Sendable {
    private let http: HTTPClient
    private let base: String
    private let key: String?
    private let timeout: TimeAmount

    /// Bytes of an error that are worth showing.
    private static let errorLimit = 16 << 10

    init(url: String, key: String?, connections: Int, timeout: Duration) {
        var base = url[...]
        while base.hasSuffix("/") { base = base.dropLast() }
        if base.hasSuffix("/v1") { base = base.dropLast(3) }
        self.base = String(base)
        self.key = key
        self.timeout = .seconds(timeout.components.seconds)
        var settings = HTTPClient.Configuration()
        settings.redirectConfiguration = .disallow
        settings.httpVersion = .http1Only
        settings.timeout = .init(connect: .seconds(30))
        // Every request has a connection: a request must not wait for another's end.
        settings.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = max(connections, 1)
        // A server that isn't there is an error at once, not after half a minute.
        settings.connectionPool.retryConnectionEstablishment = false
        http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
    }

    /// Must be called before the client is let go.
    func shutdown() async { try? await http.shutdown() }

    /// The first model that the server lists, and its vocabulary where the list says (as llama.cpp's and Martlet's do).
    ///
    /// - Throws: `CommandFailure` that names the address.
    func model() async throws -> (name: String, vocabularySize: Int?) {
        let response: HTTPClientResponse
        let body: ByteBuffer
        do {
            response = try await http.execute(request("/v1/models"), timeout: .seconds(30))
            body = try await response.body.collect(upTo: 1 << 20)
        } catch {
            throw CommandFailure(described(error))
        }
        guard response.status == .ok, let document = try? Value(strictJSON: Array(body.readableBytesView)),
            let first = document["data"]?.array?.first, let name = first["id"]?.asString
        else { throw CommandFailure("\(base)/v1/models: \(response.status.code), no list of models") }
        return (name, first["meta"]?["n_vocab"]?.integer)
    }

    private func request(_ path: String) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: base + path)
        request.headers.add(name: "User-Agent", value: "martlet-bench")
        if let key { request.headers.add(name: "Authorization", value: "Bearer \(key)") }
        return request
    }

    /// Sends a request and reads its answer to the end. Whatever goes wrong is part of the sample.
    func send(_ request: ServeBenchRequest) async -> ServeBench.Sample {
        var post = self.request("/v1/" + request.path)
        post.method = .POST
        post.headers.add(name: "Content-Type", value: "application/json")
        post.body = .bytes(ByteBuffer(string: request.body))
        var sample = ServeBench.Sample(promptTokens: request.promptTokens ?? 0)
        do {
            let response = try await http.execute(post, deadline: .now() + timeout)
            guard response.status == .ok else {
                let body = try await response.body.collect(upTo: Self.errorLimit)
                sample.error = "\(response.status.code) \(Self.message(body))"
                return sample
            }
            try await read(response.body, into: &sample)
            guard sample.error == nil else { return sample }
            if !sample.isComplete {
                sample.error = "the stream ended without [DONE]"
            } else if sample.firstToken == nil {
                sample.error = "no chunk of an answer came"
            }
        } catch is NIOTooManyBytesError {
            sample.error = "an error of more than \(Self.errorLimit) bytes"
        } catch {
            sample.error = described(error)
        }
        return sample
    }

    private func described(_ error: any Error) -> String { "\(base): \(ConnectionFailure.reason(error))" }

    private func read(_ body: HTTPClientResponse.Body, into sample: inout ServeBench.Sample) async throws {
        var reader = ServerSentEventReader()
        let start = sample.start
        var last = start
        // A server that does not count: a chunk is a token at least.
        var chunks = 0
        var counted: Int?
        for try await buffer in body {
            let now = ContinuousClock.now
            for data in reader.append(buffer.readableBytesView) {
                if data.elementsEqual("[DONE]".utf8) {
                    sample.isComplete = true
                    continue
                }
                let document = try Value(strictJSON: data)
                if let message = document["error"]?["message"]?.asString { sample.error = message }
                if let usage = document["usage"], let tokens = usage["completion_tokens"]?.integer {
                    counted = tokens
                    sample.promptTokens = usage["prompt_tokens"]?.integer ?? sample.promptTokens
                }
                guard let choice = document["choices"]?.array?.first else { continue }
                if Self.isOutput(choice) {
                    chunks += 1
                } else if sample.firstToken != nil || choice["finish_reason"]?.asString == nil {
                    continue
                }
                // The end alone is all there is of an answer without text.
                if sample.firstToken == nil {
                    sample.firstToken = (now - start).seconds
                } else {
                    sample.gaps.append((now - last).seconds)
                }
                last = now
            }
        }
        sample.total = (last - start).seconds
        sample.outputTokens = counted ?? chunks
    }

    /// Whether a chunk's choice brings something of the answer: neither the role that a chat begins with, nor the reason it
    /// ended for. A token may well have no text of its own.
    private static func isOutput(_ choice: Value) -> Bool {
        if choice["finish_reason"]?.asString != nil, (choice["text"]?.asString ?? "").isEmpty,
            choice["delta"]?["content"]?.asString == nil
        {
            return false
        }
        return choice["delta"]?["role"] == nil || choice["delta"]?["content"]?.asString?.isEmpty == false
    }

    /// What an error's body says.
    private static func message(_ body: ByteBuffer) -> String {
        let bytes = Array(body.readableBytesView)
        let text = (try? Value(strictJSON: bytes))?["error"]?["message"]?.asString
        return (text ?? String(decoding: bytes.prefix(200), as: UTF8.self)).singleLine
    }
}
