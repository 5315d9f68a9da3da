internal import AsyncHTTPClient
internal import Foundation

/// The proxies that the environment names: `https_proxy`, `http_proxy` and `no_proxy`, as curl reads them.
///
/// All requests go through a tunnel (`CONNECT`), so a proxy never sees what is asked for over https, the token included.
struct ProxySettings: Sendable {
    typealias Proxy = HTTPClient.Configuration.Proxy

    /// For http addresses.
    private(set) var http: Proxy?
    /// For https addresses.
    private(set) var https: Proxy?
    /// In lower case, without dots in front. `*` stands for all.
    private var exceptions: [String] = []

    init() {}

    /// - Throws: `HubError.invalidName` for what is no address of a proxy.
    init(environment: [String: String]) throws(HubError) {
        func value(_ names: String...) -> (name: String, text: String)? {
            for name in names {
                if let text = environment[name], !text.isEmpty { return (name, text) }
            }
            return nil
        }
        https = try Self.proxy(value("https_proxy", "HTTPS_PROXY"))
        // Not HTTP_PROXY: a CGI script has what a client sends as `Proxy:` there.
        http = try Self.proxy(value("http_proxy"))
        exceptions = (value("no_proxy", "NO_PROXY")?.text ?? "").lowercased().split { ", \t".contains($0) }.map {
            String($0.trimmingPrefix("*.").trimmingPrefix("."))
        }
    }

    private static func proxy(_ variable: (name: String, text: String)?) throws(HubError) -> Proxy? {
        guard let (name, text) = variable else { return nil }
        guard let url = URL(string: text.contains("://") ? text : "http://" + text),
            url.scheme?.lowercased() == "http", let host = url.host(), !host.isEmpty
        else {
            // Not shown: there may be a password in it.
            throw HubError(
                .invalidName, "\(name) is not the address of an HTTP proxy, as http://proxy.example.org:3128")
        }
        let authorization = url.user(percentEncoded: false).map { user in
            HTTPClient.Authorization.basic(username: user, password: url.password(percentEncoded: false) ?? "")
        }
        return .server(host: host, port: url.port ?? 80, authorization: authorization)
    }

    /// The proxy that an address is reached through; nil for none. This machine itself is reached directly.
    func proxy(for url: URL) -> Proxy? {
        let isSecure = url.scheme?.lowercased() == "https"
        guard let proxy = isSecure ? https : http, let host = url.host()?.lowercased() else { return nil }
        let address = Self.bytes(host)
        if host == "localhost" || address?.first == 127 && address?.count == 4 || host == "::1" { return nil }
        let port = url.port ?? (isSecure ? 443 : 80)
        let isExcepted = exceptions.contains { entry in
            let name = entry.hasSuffix(":\(port)") ? String(entry.dropLast("\(port)".count + 1)) : entry
            return name == "*" || host == name || host.hasSuffix("." + name)
                || address.map { Self.isIn(entry, $0) } ?? false
        }
        return isExcepted ? nil : proxy
    }

    /// Whether an address lies in a network such as 10.0.0.0/8 (RFC 4632) or fd00::/8.
    private static func isIn(_ network: String, _ address: [UInt8]) -> Bool {
        let parts = network.split(separator: "/")
        guard parts.count == 2, let start = bytes(String(parts[0])), start.count == address.count,
            let bits = Int(parts[1]), (0...8 * start.count).contains(bits)
        else { return false }
        return start.indices.allSatisfy { index in
            let own = min(max(bits - 8 * index, 0), 8)
            return (start[index] ^ address[index]) >> (8 - own) == 0
        }
    }

    /// Of an IPv4 or IPv6 address; nil for what is none.
    private static func bytes(_ host: String) -> [UInt8]? {
        for (family, count) in [(AF_INET, 4), (AF_INET6, 16)] {
            var bytes = [UInt8](repeating: 0, count: count)
            if inet_pton(family, host.trimmingCharacters(in: CharacterSet(charactersIn: "[]")), &bytes) == 1 {
                return bytes
            }
        }
        return nil
    }
}

extension HTTPClient.Configuration.Proxy {
    /// For people.
    var address: String { "\(host):\(port)" }
}
