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
/// It listens at once, and answers with 503 what needs the model until that is loaded. As a `Service` it stops gracefully: it
/// goes on with the requests that it has, and refuses others with 503; then it closes its connections.
public struct Server: Service {
    /// Loads the model, and says how far that is, from 0 to 1.
    public typealias Loader = @Sendable (_ progress: @escaping @Sendable (Double) -> Void) async throws -> LLM

    private let options: ServerOptions
    private let responder: APIResponder
    private let logger: Logger
    private let load: Loader
    private let onListening: @Sendable (_ port: Int) -> Void
    private let onReady: @Sendable (_ port: Int) -> Void

    /// - Parameters:
    ///   - onListening: called once connections are accepted, with the port.
    ///   - onReady: called once requests are served as well, with the port.
    ///   - load: called when the server runs. What it throws ends the server.
    public init(
        options: ServerOptions, version: String, logger: Logger,
        onListening: @escaping @Sendable (_ port: Int) -> Void = { _ in },
        onReady: @escaping @Sendable (_ port: Int) -> Void = { _ in },
        load: @escaping Loader
    ) {
        self.options = options
        self.logger = logger
        self.load = load
        self.onListening = onListening
        self.onReady = onReady
        responder = APIResponder(options: options, version: version, logger: logger)
    }

    /// A server for a model that is loaded.
    ///
    /// - Parameter onReady: called once requests are served, with the port.
    public init(
        _ llm: LLM, options: ServerOptions, version: String, logger: Logger,
        onReady: @escaping @Sendable (_ port: Int) -> Void = { _ in }
    ) {
        self.init(options: options, version: version, logger: logger, onReady: onReady) { _ in llm }
    }

    public func run() async throws {
        let http = HTTPServerBuilder.http1(
            configuration: .init(
                additionalChannelHandlers: [Disconnection(), ConnectionBounds(responder.metrics, logger)],
                idleTimeout: TimeAmount(options.idleTimeout),
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: options.limits.headerBytes / 2, maxHeaderListSize: options.limits.headerBytes,
                    maxHeaderFieldCount: options.limits.headerCount)))
        if let path = options.unixSocket, Self.isServed(path) {
            throw ListenFailure(place: options.place, reason: String(cString: strerror(EADDRINUSE)))
        }
        let address: BindAddress =
            options.unixSocket.map { .unixDomainSocket(path: $0) } ?? .hostname(options.host, port: options.port)
        var configuration = ApplicationConfiguration(address: address)
        let connections = DescriptorLimit.connections(options.maxConnections)
        if connections < options.maxConnections {
            logger.warning("the limit of open files has room for \(connections) connections at a time")
        }
        configuration.availableConnectionsDelegate = MaximumAvailableConnections(connections)
        let (events, continuation) = AsyncStream<ModelService.Event>.makeStream()
        let application = Application(
            responder: responder,
            server: try options.tls.map { try .tls(http, tlsConfiguration: $0.configuration()) } ?? http,
            configuration: configuration,
            onServerRunning: { [onListening] channel in
                let port = channel.localAddress?.port ?? 0
                onListening(port)
                continuation.yield(.listens(port: port))
            },
            logger: logger)
        let model = ModelService(
            responder: responder, options: options, logger: logger, load: load, onReady: onReady, events: events,
            continuation: continuation)
        // On shutdown the last service is the first to be told: requests end before their connections do.
        let group = ServiceGroup(
            configuration: .init(
                services: [
                    .init(service: application),
                    // Who waits for the model is told that the server closes before it does.
                    .init(service: model, failureTerminationBehavior: .gracefullyShutdownGroup),
                ], logger: logger))
        do {
            try await group.run()
        } catch let error as IOError {
            throw ListenFailure(place: options.place, reason: String(cString: strerror(error.errnoCode)))
        }
    }

    /// Whether another server listens at a path. A socket that was left behind is replaced; one in use would be as well.
    private static func isServed(_ path: String) -> Bool {
        guard let address = try? SocketAddress(unixDomainSocketPath: path) else { return false }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        // One that has no time for another connection is there, too.
        return address.withSockAddr { connect(descriptor, $0, socklen_t($1)) == 0 || errno == EAGAIN }
    }

    /// The server can't listen where it should.
    public struct ListenFailure: Error, CustomStringConvertible {
        /// A host and a port, or a path.
        public let place: String
        public let reason: String

        public var description: String { "cannot listen at \(place): \(reason)" }
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
}

/// Loads the model, has it served, says in the log what the engine does, and waits for the requests' end when the server is
/// told to stop.
private struct ModelService: Service {
    enum Event: Sendable {
        case listens(port: Int)
        case loaded(Result<LLM, any Error>)
    }

    let responder: APIResponder
    let options: ServerOptions
    let logger: Logger
    let load: Server.Loader
    let onReady: @Sendable (_ port: Int) -> Void
    let events: AsyncStream<Event>
    let continuation: AsyncStream<Event>.Continuation

    private static let interval = Duration.seconds(5)

    func run() async throws {
        // Not a child: loading can't be stopped, and whoever tells the server to stop does not wait for it.
        Task { [load, state = responder.state, continuation] in
            do {
                continuation.yield(.loaded(.success(try await load { state.load($0) })))
            } catch {
                continuation.yield(.loaded(.failure(error)))
            }
        }
        guard let llm = try await served() else {
            return await responder.drain(timeout: options.drainTimeout)
        }
        async let status: Void = logStatus(of: llm)
        try? await gracefulShutdown()
        await responder.drain(timeout: options.drainTimeout)
        _ = await status
    }

    /// Waits until the model is served.
    ///
    /// - Returns: nil where the server is told to stop before.
    /// - Throws: what keeps the model from being loaded.
    private func served() async throws -> LLM? {
        var (port, llm): (Int?, LLM?) = (nil, nil)
        for await event in events.cancelOnGracefulShutdown() {
            switch event {
            case .listens(let number): port = number
            case .loaded(let result):
                let loaded = try result.get()
                llm = loaded
                responder.serve(
                    ServedModel(
                        loaded, names: options.names, created: Int(Date().timeIntervalSince1970),
                        limits: options.limits))
            }
            guard let port, llm != nil else { continue }
            onReady(port)
            return llm
        }
        return nil
    }

    /// Says what the engine does, while it does something.
    private func logStatus(of llm: LLM) async {
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
