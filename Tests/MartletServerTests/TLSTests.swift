import AsyncHTTPClient
import Foundation
import Martlet
import MartletServer
import NIOCore
import NIOHTTP1
import NIOSSL
import TestSupport
import Testing

private let openssl = ["/usr/bin/openssl", "/bin/openssl", "/usr/local/bin/openssl"].first {
    FileManager.default.isExecutableFile(atPath: $0)
}

/// HTTPS with a certificate that the test makes (`openssl`).
@Suite(
    .enabled(if: TestModel.isPresent, Comment(rawValue: TestModel.absence)),
    .enabled(if: openssl != nil, "openssl is absent"), .serialized, .timeLimit(.minutes(2)))
struct TLSTests {
    /// A key and a certificate for localhost that it signed itself.
    private static func files(in folder: TemporaryFolder, _ name: String) throws -> TLSFiles {
        let files = TLSFiles(certificate: "\(folder.path)/\(name).pem", key: "\(folder.path)/\(name).key")
        let process = Process()
        process.executableURL = URL(filePath: try #require(openssl))
        process.arguments = [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj",
            "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", files.key, "-out",
            files.certificate,
        ]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
        return files
    }

    private static func client(trusting certificate: String?) -> AsyncHTTPClient.HTTPClient {
        var tls = TLSConfiguration.makeClientConfiguration()
        if let certificate { tls.trustRoots = .file(certificate) }
        var settings = AsyncHTTPClient.HTTPClient.Configuration()
        settings.tlsConfiguration = tls
        return AsyncHTTPClient.HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
    }

    @Test func answersComeEncrypted() async throws {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let files = try Self.files(in: folder, "server")
        try files.check()
        var setup = ServerTests.Setup()
        setup.options.tls = files
        try await ServerTests.withServer(setup) { port, llm, _ in
            let client = Self.client(trusting: files.certificate)
            let stranger = Self.client(trusting: nil)
            do {
                let url = "https://localhost:\(port)"
                var request = HTTPClientRequest(url: url + "/v1/chat/completions")
                request.method = .POST
                request.headers.add(name: "Content-Type", value: "application/json")
                request.body = .bytes(
                    Array(
                        #"{"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0, "stream": true}"#
                            .utf8))
                let response = try await client.execute(request, timeout: .seconds(60))
                let body = String(buffer: try await response.body.collect(upTo: 1 << 20))
                #expect(response.status == .ok && body.contains("Paris") && body.hasSuffix("data: [DONE]\n\n"))

                // A client that leaves ends its request here, too.
                request.body = .bytes(
                    Array(
                        #"{"messages": [{"role": "user", "content": "Count."}], "ignore_eos": true, "stream": true}"#
                            .utf8))
                let left = try await client.execute(request, timeout: .seconds(60))
                for try await _ in left.body { break }
                let patience = ContinuousClock.now + .seconds(20)
                while await llm.statistics.runningRequests > 0, ContinuousClock.now < patience {
                    try await Task.sleep(for: .milliseconds(5))
                }
                #expect(await llm.statistics.runningRequests == 0)

                await #expect(throws: (any Error).self, "nobody vouches for the certificate") {
                    try await stranger.execute(HTTPClientRequest(url: url + "/health"), timeout: .seconds(20))
                }
                // Plain HTTP gets no answer.
                let plain = try? await MartletServerTests.HTTPClient.exchange(
                    port: port, MartletServerTests.HTTPClient.request("GET", "/health"))
                #expect(plain == nil)
            } catch {
                try? await client.shutdown()
                try? await stranger.shutdown()
                throw error
            }
            try await client.shutdown()
            try await stranger.shutdown()
        }
    }

    @Test func filesThatAreNoneAreNamed() throws {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let (one, other) = (try Self.files(in: folder, "one"), try Self.files(in: folder, "other"))
        try folder.write("nothing", to: "empty.pem")
        let empty = folder.path + "/empty.pem"
        for (certificate, key, named) in [
            ("/nowhere.pem", one.key, "/nowhere.pem"), (one.certificate, "/nowhere.key", "/nowhere.key"),
            (empty, one.key, empty), (one.certificate, empty, empty), (one.certificate, other.key, other.key),
        ] {
            let failure = #expect(throws: TLSFiles.Failure.self) {
                try TLSFiles(certificate: certificate, key: key).check()
            }
            #expect(failure?.description.contains(named) == true)
        }
    }
}
