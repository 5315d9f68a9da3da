import Foundation
import Synchronization
import TestSupport
import Testing

@testable import MartletHub

@Suite struct ProxyTests {
    private static func proxy(_ environment: [String: String], _ address: String) throws -> String? {
        let settings = try ProxySettings(environment: environment)
        return settings.proxy(for: try #require(URL(string: address)))?.address
    }

    private static let both = ["HTTPS_PROXY": "http://secure:1", "http_proxy": "plain:2"]

    @Test(
        arguments: [
            (both, "https://huggingface.co/x", "secure:1"), (both, "http://huggingface.co/x", "plain:2"),
            (["https_proxy": "http://a", "HTTPS_PROXY": "b"], "https://x", "a:80"),
            (["https_proxy": "", "HTTPS_PROXY": "b"], "https://x", "b:80"), ([:], "https://x", nil),
            // A CGI script has a client's header there.
            (["HTTP_PROXY": "http://a"], "http://x", nil),
        ] as [([String: String], String, String?)])
    func eachSchemeHasItsOwn(_ environment: [String: String], _ address: String, _ expected: String?) throws {
        #expect(try Self.proxy(environment, address) == expected)
    }

    @Test(
        arguments: [
            ("a.example,b.example", "https://b.example", true), ("b.example", "https://sub.B.example", true),
            (".b.example", "https://sub.b.example", true), ("*.b.example", "https://b.example", true),
            ("b.example", "https://ab.example", false), (" a b.example ", "https://b.example", true),
            ("*", "https://b.example", true), ("b.example:443", "https://b.example", true),
            ("b.example:8443", "https://b.example", false), ("b.example:8443", "https://b.example:8443", true),
            ("10.0.0.1", "https://10.0.0.1", true), ("", "https://b.example", false),
            ("10.0.0.0/8", "https://10.1.2.3", true), ("10.1.0.0/15", "https://10.2.2.3", false),
            ("10.0.0.0/33", "https://10.0.0.0", false), ("fd00::/8", "https://[fd12::1]", true),
            ("fd00::/8", "https://10.1.2.3", false), ("x", "https://127.example.org", false),
            ("x", "https://127.0.0.1:5", true), ("x", "https://localhost", true),
        ])
    func hostsWithoutOne(_ exceptions: String, _ address: String, _ isDirect: Bool) throws {
        for name in ["no_proxy", "NO_PROXY"] {
            let proxy = try Self.proxy(["HTTPS_PROXY": "p", name: exceptions], address)
            #expect((proxy == nil) == isDirect)
        }
    }

    @Test(arguments: ["socks5://a:1", "https://a:1", "http://", "http:///x"])
    func otherProxiesAreRefused(_ address: String) throws {
        let environment = ["HTTPS_PROXY": address.replacing("//", with: "//user:secret@")]
        let error = #expect(throws: HubError.self) { try HubConfiguration(environment: environment) }
        #expect(error?.message.contains("HTTPS_PROXY is not the address") == true)
        #expect(error?.message.contains("secret") == false)
    }

    private static let files = ["config.json": Array("{}".utf8), "model.safetensors": FakeHub.noise(9000)]

    private static func configuration(_ proxy: LoopbackServer, _ endpoint: String, user: String = "") throws
        -> HubConfiguration
    {
        let address = "http://\(user)127.0.0.1:\(proxy.port)"
        var configuration = try HubConfiguration(
            environment: ["HF_ENDPOINT": endpoint, "http_proxy": address, "HTTPS_PROXY": address])
        configuration.retryDelay = 0.01
        configuration.pieceSize = 4096
        return configuration
    }

    /// A hub whose name nobody knows but the proxy.
    @Test func downloadsGoThroughIt() async throws {
        let hub = try FakeHub(Self.files) { request in
            guard request.method == "CONNECT" else { return nil }
            var reply = LoopbackServer.Reply()
            reply.opensTunnel = true
            return reply
        }
        let folder = TemporaryStore()
        _ = try await folder.pull(
            "org/repo", try Self.configuration(hub.server, "http://hub.invalid", user: "me:a%20b@"))
        #expect(folder.bytes("org/repo/model.safetensors") == Self.files["model.safetensors"])
        let tunnels = hub.server.requests.filter { $0.method == "CONNECT" }
        #expect(!tunnels.isEmpty && tunnels.allSatisfy { $0.path == "hub.invalid:80" })
        let credentials = "Basic " + Data("me:a b".utf8).base64EncodedString()
        #expect(tunnels.allSatisfy { $0.headers["proxy-authorization"] == credentials })
        #expect(hub.server.requests.count { $0.method == "GET" } == tunnels.count)
    }

    @Test(arguments: [(403, "refuses to connect"), (407, "asks for a name and a password")])
    func aRefusalIsNotTriedAgain(_ status: Int, _ reason: String) async throws {
        let proxy = try LoopbackServer { _ in .init(status) }
        let error = try #require(
            await TemporaryStore().failure("org/repo", try Self.configuration(proxy, "https://hub.invalid")))
        #expect(error.code == .connection && error.message.contains("the proxy \(reason)"), "\(error)")
        #expect(error.message.contains("hub.invalid through the proxy 127.0.0.1:\(proxy.port)"))
        #expect(proxy.requests.map(\.path) == ["hub.invalid:443"])
    }
}
