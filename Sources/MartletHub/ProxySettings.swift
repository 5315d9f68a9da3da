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
        if host == "localhost" || host.hasPrefix("127.") || host == "::1" { return nil }
        let port = url.port ?? (isSecure ? 443 : 80)
        let isExcepted = exceptions.contains { entry in
            let name = entry.hasSuffix(":\(port)") ? String(entry.dropLast("\(port)".count + 1)) : entry
            return name == "*" || host == name || host.hasSuffix("." + name)
        }
        return isExcepted ? nil : proxy
    }
}

extension HTTPClient.Configuration.Proxy {
    /// For people.
    var address: String { "\(host):\(port)" }
}
