import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
public import Logging
public import Martlet
import NIOCore
public import ServiceLifecycle
import UnixSignals

/// An HTTP server that speaks OpenAI's API, for one model.
///
/// As a `Service` it stops gracefully: it goes on with the requests that it has, and refuses others with 503; then it closes
/// its connections.
public struct Server: Service {
    private let options: ServerOptions
    private let responder: APIResponder
    private let logger: Logger
    private let onRunning: @Sendable (_ port: Int) -> Void

    /// - Parameter onRunning: called once the server listens, with its port.
    public init(
        _ llm: LLM, options: ServerOptions, version: String, logger: Logger,
        onRunning: @escaping @Sendable (_ port: Int) -> Void = { _ in }
    ) {
        self.options = options
        self.logger = logger
        self.onRunning = onRunning
        let model = ServedModel(
            llm, names: options.modelNames.isEmpty ? ["default"] : options.modelNames,
            created: Int(Date().timeIntervalSince1970), limits: options.limits)
        responder = APIResponder(model: model, options: options, version: version, logger: logger)
    }

    public func run() async throws {
        let http = HTTPServerBuilder.http1(
            configuration: .init(
                additionalChannelHandlers: [Disconnection(), ConnectionBounds()],
                idleTimeout: .seconds(Self.idleSeconds),
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: options.limits.headerBytes / 2, maxHeaderListSize: options.limits.headerBytes,
                    maxHeaderFieldCount: options.limits.headerCount)))
        let address: BindAddress =
            options.unixSocket.map { .unixDomainSocket(path: $0) } ?? .hostname(options.host, port: options.port)
        var configuration = ApplicationConfiguration(address: address)
        let connections = DescriptorLimit.connections(options.maxConnections)
        if connections < options.maxConnections {
            logger.warning("the limit of open files has room for \(connections) connections at a time")
        }
        configuration.availableConnectionsDelegate = MaximumAvailableConnections(connections)
        let application = Application(
            responder: responder,
            server: try options.tls.map { try .tls(http, tlsConfiguration: $0.configuration()) } ?? http,
            configuration: configuration,
            onServerRunning: { [onRunning] channel in onRunning(channel.localAddress?.port ?? 0) },
            logger: logger)
        // On shutdown the last service is the first to be told: requests end before their connections do.
        let drain = DrainService(responder: responder, timeout: options.drainTimeout)
        let status = StatusService(llm: responder.model.llm, logger: logger)
        let group = ServiceGroup(configuration: .init(services: [application, status, drain], logger: logger))
        try await group.run()
    }

    /// Runs until SIGTERM or SIGINT; a second one ends the process at once.
    public func runUntilSignalled() async throws {
        let group = ServiceGroup(configuration: .init(services: [self], logger: logger))
        let signals = Task {
            var isStopping = false
            for await _ in await UnixSignalsSequence(trapping: .sigterm, .sigint) {
                if isStopping { exit(130) }
                isStopping = true
                await group.triggerGracefulShutdown()
            }
        }
        defer { signals.cancel() }
        try await group.run()
    }

    /// A connection without a request, or with half of one. What sends a byte a second is noticed a little later, and
    /// should be gone within 15 s.
    private static let idleSeconds: Int64 = 12
}

/// Waits for the requests' end when the server is told to stop.
private struct DrainService: Service {
    let responder: APIResponder
    let timeout: Duration

    func run() async throws {
        try? await gracefulShutdown()
        await responder.drain(timeout: timeout)
    }
}

/// Says in the log what the engine does, while it does something.
private struct StatusService: Service {
    let llm: LLM
    let logger: Logger

    private static let interval = Duration.seconds(5)

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var last = await llm.statistics
            while (try? await Task.sleep(for: Self.interval)) != nil {
                let now = await llm.statistics
                defer { last = now }
                guard now.computedTokens > last.computedTokens else { continue }
                func rate(_ path: KeyPath<EngineStatistics, Int>) -> Int {
                    Int(Double(now[keyPath: path] - last[keyPath: path]) / Self.interval.seconds)
                }
                let cache = 100 * now.usedCacheRows / max(now.cacheRows, 1)
                logger.notice(
                    """
                    \(now.runningRequests) running, \(now.waitingRequests) waiting; \(rate(\.promptTokens)) prompt tokens/s, \
                    \(rate(\.generatedTokens)) tokens/s; KV cache \(cache) %
                    """)
            }
        }
    }
}
