import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore

/// Who may use the server.
struct AccessControl: Sendable {
    private let keys: [[UInt8]]
    /// Names that `Host` and `Origin` may have; nil for any.
    private let hosts: Set<String>?

    /// Whose pages may call.
    private let origins: Set<String>

    private static let loopback: Set<String> = ["localhost", "127.0.0.1", "::1"]

    init(_ options: ServerOptions) {
        keys = options.apiKeys.map { Array($0.utf8) }
        let isLocal = Self.loopback.contains(options.host)
        origins = Set(options.allowedOrigins.map { $0.lowercased() })
        hosts =
            isLocal || options.unixSocket != nil
            ? Self.loopback.union(options.allowedHosts.map { $0.lowercased() }) : nil
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

    /// A page of some other site must not reach a server on this machine through the browser of who looks at it, neither
    /// by its own name (DNS rebinding) nor across origins.
    ///
    /// - Throws: 403.
    func checkOrigin(_ request: Request) throws(APIError) {
        if let origin = request.headers[.origin], origins.contains(origin.lowercased()) { return }
        guard let hosts else { return }
        if let authority = request.head.authority, !hosts.contains(Self.hostName(authority)) {
            throw APIError(403, "The Host header names another machine.", code: "forbidden")
        }
        if let origin = request.headers[.origin] {
            guard let host = URL(string: origin)?.host(), hosts.contains(Self.hostName(host)) else {
                throw APIError(403, "Requests from this Origin are not allowed.", code: "forbidden")
            }
        }
    }

    /// What tells a browser that a page may read the response (CORS), where it may.
    func corsHeaders(_ request: Request) -> HTTPFields {
        guard let origin = request.headers[.origin], origins.contains(origin.lowercased()) else { return [:] }
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
