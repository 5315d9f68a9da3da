import Foundation
import Testing

@testable import MartletServer

/// Which hosts and origins a server takes, by where it listens. No model is needed to say so.
@Suite(.timeLimit(.minutes(2)))
struct AccessTests {
    private static func status(_ port: Int, _ headers: [String: String], path: String = "/version") async throws -> Int
    {
        try await ServerTests.get(port, path, headers).status
    }

    @Test(arguments: ["127.0.0.1", "127.1", "0x7f000001"])
    func loopbackIsKnownInEverySpelling(_ host: String) async throws {
        try await LoadingTests.withServer {
            $0.host = host
        } _: { port, _, _, _ in
            for (name, expected) in [
                ("evil.example", 403), ("evil.example:\(port)", 403), ("0.0.0.0", 403), ("localhost:\(port)", 200),
                ("127.0.0.1:\(port)", 200), (host, 200),
            ] {
                let status = try await Self.status(port, ["Host": name])
                #expect(status == expected, "\(name)")
            }
            let origin = try await Self.status(port, ["Origin": "http://evil.example"])
            #expect(origin == 403)
        }
    }

    @Test(arguments: [
        ("127.0.0.2", true), ("LocalHost", true), ("::1", true), ("0:0:0:0:0:0:0:1", true), ("::ffff:127.0.0.1", true),
        ("0.0.0.0", false),
        ("::", false), ("128.0.0.1", false), ("::2", false),
    ]) func onlyLoopbackChecksNamesByItself(_ host: String, _ isChecked: Bool) {
        var options = ServerOptions()
        options.host = host
        #expect(AccessControl(options).checksNames == isChecked)
        options.unixSocket = "/run/martlet.socket"
        #expect(AccessControl(options).checksNames)
    }

    @Test func namesThatAreGivenCountEverywhere() async throws {
        try await LoadingTests.withServer {
            $0.host = "0.0.0.0"
            $0.allowedHosts = ["Box.example"]
        } _: { port, _, _, _ in
            for (headers, expected) in [
                (["Host": "evil.example"], 403), (["Host": "box.example:80"], 200), (["Host": "localhost"], 200),
                (["Host": "box.example", "Origin": "http://evil.example"], 403),
                (["Host": "box.example", "Origin": "https://box.example"], 200),
            ] {
                let status = try await Self.status(port, headers)
                #expect(status == expected, "\(headers)")
            }
            // Probes come with an address.
            let health = try await Self.status(port, ["Host": "10.1.2.3:8080"], path: "/health")
            let ready = try await Self.status(port, ["Host": "10.1.2.3:8080"], path: "/ready")
            #expect(health == 200 && ready == 503)
        }
    }

    @Test func withoutNamesPagesComeFromTheServersOwn() async throws {
        try await LoadingTests.withServer {
            $0.host = "0.0.0.0"
            $0.allowedOrigins = ["https://chat.example"]
        } _: { port, _, _, _ in
            for (headers, expected) in [
                (["Host": "any.example"], 200), (["Host": "any.example:1", "Origin": "https://any.example:2"], 200),
                (["Host": "[fd00::1]:80", "Origin": "http://[fd00::1]:80"], 200),
                (["Host": "any.example", "Origin": "https://chat.example"], 200),
                (["Host": "any.example", "Origin": "https://evil.example"], 403),
                (["Host": "any.example", "Origin": "null"], 403),
            ] {
                let status = try await Self.status(port, headers)
                #expect(status == expected, "\(headers)")
            }
        }
    }

    @Test func aHostIsWanted() async throws {
        try await LoadingTests.withServer { port, _, _, _ in
            let request = Array("GET /version HTTP/1.1\r\nConnection: close\r\n\r\n".utf8)
            let response = try await HTTPClient.exchange(port: port, request)
            #expect(response.status == 400 && response.error?["code"] as? String == "missing_host")
        }
    }
}
