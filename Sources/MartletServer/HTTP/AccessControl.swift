import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore

/// Who may use the server.
struct AccessControl: Sendable {
    private let keys: [[UInt8]]
    /// Names that `Host` and `Origin` may have; nil for any, as long as both have the same.
    private let hosts: Set<String>?

    /// Whether there are names that requests must have.
    var checksNames: Bool { hosts != nil }

    /// Whose pages may call.
    private let origins: Set<String>

    private static let loopback: Set<String> = ["localhost", "127.0.0.1", "::1"]

    init(_ options: ServerOptions) {
        keys = options.apiKeys.map { Array($0.utf8) }
        origins = Set(options.allowedOrigins.map(Self.origin))
        // As the socket is bound: the system takes 127.1 and 0x7f000001 for addresses, too.
        let address = try? SocketAddress.makeAddressResolvingHost(options.host, port: 0).ipAddress
        let isLocal = options.unixSocket != nil || address.map(Self.isLoopback) ?? false
        let names = ([options.host, address].compactMap { $0 } + options.allowedHosts).map { $0.lowercased() }
        hosts = isLocal || !options.allowedHosts.isEmpty ? Self.loopback.union(names) : nil
    }

    /// - Parameter address: as the system writes it.
    private static func isLoopback(_ address: String) -> Bool {
        address == "::1" || address.hasPrefix("127.") || address.hasPrefix("::ffff:127.")
    }

    /// Who sends a request, for the engine's fair shares: the owner of a key, or an address where there are no keys.
    ///
    /// - Parameter address: where the connection comes from; nil for a Unix socket.
    /// - Throws: 401 unless the request has one of the keys, where there are any.
    func client(of request: Request, at address: SocketAddress?) throws(APIError) -> String {
        guard !keys.isEmpty else { return address?.ipAddress ?? "" }
        let authorization = request.headers[.authorization] ?? ""
        let key =
            authorization.lowercased().hasPrefix("bearer ")
            ? Array(authorization.utf8.dropFirst(7)) : Array((request.headers[.apiKey] ?? "").utf8)
        // All of them, so that time does not tell which one it was.
        var owner: Int?
        for index in keys.indices where Self.areEqual(key, keys[index]) { owner = index }
        guard let owner else {
            throw APIError(401, "Incorrect or missing API key.", code: "invalid_api_key")
        }
        // Not the key itself: it stays in here.
        return "key \(owner)"
    }

    /// Whether two keys are equal. The time depends on the length of the first one, which the caller knows, and on nothing
    /// else.
    static func areEqual(_ given: [UInt8], _ key: [UInt8]) -> Bool {
        var difference = given.count ^ key.count
        guard !key.isEmpty else { return false }
        for index in given.indices { difference |= Int(given[index] ^ key[index % key.count]) }
        return difference == 0
    }

    /// A page of some other site must not reach the server through the browser of who looks at it, neither by its own name
    /// (DNS rebinding) nor across origins. Where the server does not know its names, it can't tell the first.
    ///
    /// - Throws: 403; 400 for a request without a host.
    func checkOrigin(_ request: Request) throws(APIError) {
        guard let authority = request.head.authority else {
            throw APIError(400, "The request has no Host header.", code: "missing_host")
        }
        let origin = request.headers[.origin]
        if let origin, isListed(origin) { return }
        let host = Self.hostName(authority)
        guard hosts?.contains(host) ?? true else {
            throw APIError(403, "The Host header names another machine.", code: "forbidden")
        }
        guard let origin else { return }
        guard let source = URL(string: origin)?.host().map(Self.hostName), hosts?.contains(source) ?? (source == host)
        else {
            throw APIError(403, "Requests from this Origin are not allowed.", code: "forbidden")
        }
    }

    func isListed(_ origin: String) -> Bool { origins.contains("*") || origins.contains(origin.lowercased()) }

    /// An origin as browsers send it: a scheme's own port is left out.
    private static func origin(_ text: String) -> String {
        let text = text.lowercased()
        for (scheme, port) in [("http://", ":80"), ("https://", ":443")]
        where text.hasPrefix(scheme) && text.hasSuffix(port) {
            return String(text.dropLast(port.count))
        }
        return text
    }

    /// What tells a browser that a page may read the response (CORS), where it may.
    func corsHeaders(_ request: Request) -> HTTPFields {
        guard let origin = request.headers[.origin], isListed(origin) else { return [:] }
        return [.accessControlAllowOrigin: origin, .vary: "Origin"]
    }

    /// The answer to a browser that asks before it lets a page call.
    func preflight(_ request: Request) -> Response? {
        guard request.method == .options, request.headers[.accessControlRequestMethod] != nil,
            !corsHeaders(request).isEmpty
        else { return nil }
        return Response(
            status: .noContent,
            headers: [
                .accessControlAllowMethods: "GET, POST", .accessControlMaxAge: "600",
                .accessControlAllowHeaders: request.headers[.accessControlRequestHeaders] ?? "",
            ])
    }

    /// "[::1]:8080" is "::1".
    static func hostName(_ authority: String) -> String {
        var name = authority.lowercased()[...]
        if name.hasPrefix("[") { return String(name.dropFirst().prefix { $0 != "]" }) }
        if let colon = name.lastIndex(of: ":"), name.firstIndex(of: ":") == colon { name = name[..<colon] }
        return String(name)
    }
}
