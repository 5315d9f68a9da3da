internal import Foundation

/// Where the hub is, who we are to it, and how patient we are with it.
package struct HubConfiguration: Sendable {
    package static let defaultEndpoint = "https://huggingface.co"

    /// Without a slash at its end.
    package let endpoint: String
    let token: String?
    /// Connections at the same time.
    package var connections = 8
    /// A failing transfer is tried again this many times in a row; progress of a megabyte starts the count afresh. A host that
    /// nobody knows is tried again once.
    package var retries = 5
    /// Seconds before the first retry; it doubles with each.
    package var retryDelay = 0.5
    /// Seconds without a byte after which a connection counts as dead.
    package var readTimeout = 30.0
    /// Bytes that one request fetches of a large file.
    package var pieceSize = 16 << 20
    /// Called with a line about a failure before what failed is tried again.
    package var onRetry: @Sendable (String) -> Void = { _ in }
    var proxies = ProxySettings()

    /// - Parameter endpoint: an http or https URL.
    /// - Throws: `HubError` for an endpoint or a token that cannot be sent.
    package init(endpoint: String = Self.defaultEndpoint, token: String? = nil) throws(HubError) {
        guard let url = URL(string: endpoint), ["http", "https"].contains(url.scheme?.lowercased()),
            let host = url.host(), !host.isEmpty, url.query() == nil, url.fragment() == nil, url.user() == nil
        else { throw HubError(.invalidName, "HF_ENDPOINT '\(endpoint.excerpt)' is not an http or https address") }
        var trimmed = endpoint
        while trimmed.hasSuffix("/") { trimmed.removeLast() }
        self.endpoint = trimmed
        let token = token?.trimmingCharacters(in: .whitespacesAndNewlines)
        if let token, !token.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) {
            throw HubError(.unauthorized, "HF_TOKEN has characters that no token has")
        }
        self.token = token?.isEmpty ?? true ? nil : token
    }

    /// `HF_ENDPOINT`, `HF_TOKEN` and proxies.
    package init(environment: [String: String]) throws(HubError) {
        let endpoint = environment["HF_ENDPOINT"].flatMap { $0.isEmpty ? nil : $0 }
        try self.init(endpoint: endpoint ?? Self.defaultEndpoint, token: environment["HF_TOKEN"])
        proxies = try ProxySettings(environment: environment)
    }

    /// The endpoint's host, for messages.
    var host: String { URL(string: endpoint)?.host() ?? endpoint }

    /// Whether `url` is on the endpoint's own server: the only place where the token goes.
    func isOwn(_ url: URL) -> Bool {
        guard let own = URL(string: endpoint) else { return false }
        func port(_ url: URL) -> Int { url.port ?? (url.scheme?.lowercased() == "https" ? 443 : 80) }
        return own.scheme?.lowercased() == url.scheme?.lowercased() && port(own) == port(url)
            && own.host()?.lowercased() == url.host()?.lowercased()
    }
}
