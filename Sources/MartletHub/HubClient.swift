internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// HTTP as the hub needs it: redirects that never take the token to another host, and failures that are tried again.
final class HubClient: Sendable {
    struct Response: Sendable {
        let url: URL
        let status: Int
        let headers: HTTPHeaders
        let body: HTTPClientResponse.Body

        func header(_ name: String) -> String? { headers.first(name: name) }
    }

    private static let maximumRedirects = 8
    /// Seconds that a server may ask us to wait; beyond that we give up.
    private static let longestWait = 60.0
    /// Seconds for one page of an API call.
    private static let apiDeadline = 120

    let configuration: HubConfiguration
    /// A client has one proxy, or none, for all that it fetches.
    private let direct: HTTPClient
    private let proxied: [HTTPClient.Configuration.Proxy: HTTPClient]
    private let latestNote = Mutex<ContinuousClock.Instant?>(nil)

    init(_ configuration: HubConfiguration) {
        self.configuration = configuration
        var settings = HTTPClient.Configuration()
        settings.redirectConfiguration = .disallow
        // HTTP/1: every range has a connection, and a window, of its own.
        settings.httpVersion = .http1Only
        settings.timeout = .init(connect: .seconds(15), read: .milliseconds(Int64(configuration.readTimeout * 1000)))
        settings.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = configuration.connections
        settings.connectionPool.retryConnectionEstablishment = false
        direct = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
        var proxied: [HTTPClient.Configuration.Proxy: HTTPClient] = [:]
        for proxy in Set([configuration.proxies.http, configuration.proxies.https].compactMap(\.self)) {
            settings.proxy = proxy
            proxied[proxy] = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
        }
        self.proxied = proxied
    }

    /// Must be called before the client is let go.
    func shutdown() async { for client in [direct] + proxied.values { try? await client.shutdown() } }

    // MARK: Requests

    /// The answer to a GET, after redirects: its status is 200 or 206.
    ///
    /// - Parameters:
    ///   - subject: what is asked for, for messages.
    ///   - inspect: sees every answer on the way, redirects too.
    func open(
        _ address: String, subject: String, range: Range<Int>? = nil,
        inspect: (Response) throws(HubError) -> Void = { _ in }
    ) async throws -> Response {
        guard var url = URL(string: address) else { throw HubError(.badResponse, "\(address.excerpt) is no address") }
        for _ in 0...Self.maximumRedirects {
            let response = try await get(url, range: range)
            try inspect(response)
            switch response.status {
            case 200, 206: return response
            case 301, 302, 303, 307, 308: url = try redirect(response, subject: subject)
            default: throw failure(response, subject: subject)
            }
        }
        throw HubError(.badResponse, "\(subject): more than \(Self.maximumRedirects) redirects")
    }

    private func get(_ url: URL, range: Range<Int>?) async throws -> Response {
        var request = HTTPClientRequest(url: url.absoluteString)
        request.headers.add(name: "User-Agent", value: "martlet")
        request.headers.add(name: "Accept-Encoding", value: "identity")
        if let range { request.headers.add(name: "Range", value: "bytes=\(range.lowerBound)-\(range.upperBound - 1)") }
        if let token = configuration.token, configuration.isOwn(url) {
            request.headers.add(name: "Authorization", value: "Bearer \(token)")
        }
        let proxy = configuration.proxies.proxy(for: url)
        let client = proxy.flatMap { proxied[$0] } ?? direct
        do {
            let response = try await client.execute(request, deadline: .distantFuture)
            return Response(
                url: url, status: Int(response.status.code), headers: response.headers, body: response.body)
        } catch {
            let host = url.host() ?? configuration.host
            throw Self.described(error, host: proxy.map { "\(host) through the proxy \($0.address)" } ?? host)
        }
    }

    private func redirect(_ response: Response, subject: String) throws -> URL {
        guard let location = response.header("Location"),
            let target = URL(string: location, relativeTo: response.url)?.absoluteURL,
            let scheme = target.scheme?.lowercased(), ["http", "https"].contains(scheme), target.host() != nil
        else { throw HubError(.badResponse, "\(subject): \(response.url.host() ?? "the server") redirects to nowhere") }
        guard scheme == "https" || response.url.scheme?.lowercased() == "http" else {
            throw HubError(.badResponse, "\(subject): refused a redirect from https to http")
        }
        return target
    }

    /// The whole body of an API call as bytes, `limit` at most, and the response that it came with.
    func data(_ address: String, subject: String, limit: Int) async throws -> (bytes: [UInt8], response: Response) {
        try await retrying {
            try await self.withDeadline(subject) {
                let response = try await self.open(address, subject: subject)
                var bytes: [UInt8] = []
                do {
                    for try await part in response.body {
                        bytes += part.readableBytesView
                        guard bytes.count <= limit else { break }
                    }
                } catch {
                    throw Self.described(error, host: response.url.host() ?? self.configuration.host)
                }
                guard bytes.count <= limit else {
                    throw HubError(.badResponse, "\(subject): the server's answer has more than \(limit) bytes")
                }
                return (bytes, response)
            }
        }
    }

    private func withDeadline<T: Sendable>(
        _ subject: String, _ body: @escaping @Sendable () async throws -> T
    ) async throws -> T {
        try await withThrowingTaskGroup(of: T.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await Task.sleep(for: .seconds(Self.apiDeadline))
                throw HubError(
                    .connection, "\(subject): no complete answer within \(Self.apiDeadline) seconds", isTransient: true)
            }
            defer { group.cancelAll() }
            guard let result = try await group.next() else { throw CancellationError() }
            return result
        }
    }

    // MARK: Failures

    /// Runs `body` again while what it throws may be over in a moment.
    ///
    /// - Parameter progress: a count that grows as bytes come; see `HubConfiguration.retries`.
    func retrying<T>(progress: () -> Int = { 0 }, _ body: () async throws -> T) async throws -> T {
        var failures = 0
        var best = progress()
        while true {
            do {
                return try await body()
            } catch let error as HubError where error.isTransient {
                let reached = progress()
                if reached - best >= 1 << 20 { (best, failures) = (reached, 0) }
                let retries = error.code == .unknownHost ? min(1, configuration.retries) : configuration.retries
                guard failures < retries else { throw error }
                let delay = configuration.retryDelay * Double(1 << min(failures, 6))
                let wait = max(delay, error.retryAfter ?? 0)
                guard wait <= Self.longestWait else { throw error }
                noteRetry("\(error.message); trying again in \(String(format: "%g", wait)) s")
                try await Task.sleep(for: .seconds(wait))
                failures += 1
            }
        }
    }

    /// Says that something is tried again: once a second, as all connections may break together.
    private func noteRetry(_ note: String) {
        let isNew = latestNote.withLock { latest in
            let now = ContinuousClock.now
            if let latest, now - latest < .seconds(1) { return false }
            latest = now
            return true
        }
        if isNew { configuration.onRetry(note) }
    }

    private func failure(_ response: Response, subject: String) -> HubError {
        let host = response.url.host() ?? configuration.host
        let reason = response.header("X-Error-Message").map { ": " + $0.excerpt } ?? ""
        let status = "HTTP \(response.status) from \(host)\(reason)"
        let hint =
            configuration.token == nil
            ? "if it is private or gated, set HF_TOKEN" : "the token in HF_TOKEN has no access to it"
        switch response.status {
        case 401: return HubError(.unauthorized, "\(subject): not found or not public (\(status)); \(hint)")
        case 403: return HubError(.unauthorized, "\(subject): access refused (\(status)); \(hint)")
        case 404, 410: return HubError(.notFound, "\(subject): not found (\(status))")
        case 429:
            let wait = response.header("Retry-After").flatMap(Double.init).flatMap { $0.isFinite ? $0 : nil }
            return HubError(
                .rateLimited, "\(subject): the server is asked too often (\(status))", isTransient: true,
                retryAfter: wait)
        case 408, 500...599: return HubError(.connection, "\(subject): \(status)", isTransient: true)
        default: return HubError(.badResponse, "\(subject): \(status)")
        }
    }

    /// An error of the network as one of ours. All but a proxy's refusal may be over in a moment.
    static func described(_ error: any Error, host: String) -> any Error {
        if Task.isCancelled { return CancellationError() }
        if error is HubError { return error }
        return HubError(
            ConnectionFailure.isUnknownHost(error) ? .unknownHost : .connection,
            "\(host): \(ConnectionFailure.reason(error))", isTransient: !ConnectionFailure.isRefusalOfProxy(error))
    }
}
