import ArgumentParser
import Foundation
import Logging
import Martlet
import MartletServer
import NIOCore

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve a model over HTTP, as the APIs of OpenAI, Anthropic and Ollama.",
        discussion: """
            OpenAI's /v1/chat/completions, /v1/completions, /v1/responses, /v1/embeddings and /v1/models, Anthropic's /v1/messages, Ollama's \
            /api/chat and the like; /tokenize, /detokenize, /apply-template, /health, /ready, /version and /metrics; a page to \
            chat at /, and all routes described at /docs. It listens at once: until the model is loaded, what needs it gets \
            503. SIGTERM and SIGINT let the requests that are there end first; a second one does not wait.
            """)

    @OptionGroup var source: OptionalModelArgument
    // Read before the command is parsed (`ServeSettings`).
    @Option(
        help: ArgumentHelp(
            "A YAML or JSON file with options; keys are their names.",
            discussion: """
                Each option is taken from where it is found first: the command line, the environment (MARTLET_PORT for --port; \
                several values with spaces between them), this file, the default. MODEL is called model. \
                MARTLET_CONFIG names a file, too.
                """))
    var config: String?
    @Option(help: "The address to listen on. The default is reachable from this machine only.")
    var host = "127.0.0.1"
    @Option(help: "The port to listen on; 0 for any that is free.")
    var port = 8080
    @Option(
        help: ArgumentHelp(
            "A key that requests must have; may be given several times.",
            discussion: "Other users of the machine don't see $MARTLET_API_KEY."))
    var apiKey: [String] = []
    @Option(help: "A file with such keys, one a line; lines that begin with # are comments.")
    var apiKeyFile: String?
    @Option(
        help: ArgumentHelp(
            "A name that the Host and Origin headers may have besides localhost; may be given several times.",
            discussion: """
                Without any, a server that other machines reach takes any Host, and web pages that come from the same host.
                """))
    var allowedHost: [String] = []
    @Option(
        help: ArgumentHelp(
            "An origin of web pages that may call the server, as https://chat.example.org; may be given several times.",
            discussion: "'*' stands for all, where requests need a key."))
    var corsOrigin: [String] = []
    @Option(help: "A PEM file with the server's certificate and those behind it: speaks HTTPS.")
    var tlsCertificate: String?
    @Option(help: "A PEM file with the certificate's private key.")
    var tlsKey: String?
    @Option(help: "A path of a socket to listen on, instead of a host and a port.")
    var unixSocket: String?
    enum MetricsNames: String, ExpressibleByArgument { case martlet, vllm }
    @Option(help: "What the names of metrics begin with, but for those that vLLM does not have.")
    var metricsCompat = MetricsNames.martlet
    @Flag(help: "Serve no page at /.")
    var noWebPage = false
    @OptionGroup var names: ServedModelNameOption
    @OptionGroup var limits: EngineLimitOptions
    @Option(help: "Requests that wait while others run; more are refused with 429.")
    var maxQueuedRequests = 256
    @Option(help: "Tokens of the prompts of all requests that wait; more are refused with 429.")
    var maxQueuedTokens = EngineOptions().maxQueuedTokens
    @Option(help: "Connections that are open at the same time; more wait to be accepted.")
    var maxConnections = ServerOptions().maxConnections
    @Option(help: "Seconds that a request's body may take to arrive; 408 beyond.")
    var readTimeout: Double = 30
    @Option(
        help: """
            MiB of the bodies of all requests that have no answer yet; 503 beyond. Default: \(ServerOptions().bodyMemory >> 20), or \
            --max-body where that is more.
            """)
    var maxBodyMemory: Int?
    @Option(help: "Seconds that a request may take in all; 408 beyond. Default: no limit.")
    var requestTimeout: Double?
    @Option(help: "Seconds that a request may wait for its turn; 503 beyond. Default: no limit.")
    var queueTimeout: Double?
    @Option(help: "How the hidden states of a text become its embedding: mean, or last.")
    var pooling = EmbeddingPooling.mean
    @Option(
        help: "Seconds that requests may take to end after SIGTERM; their answers have 5 more to reach who reads them.")
    var drainTimeout = 30
    @Flag(help: "Refuse requests with unknown fields, instead of listing these in the header X-Martlet-Warning.")
    var strict = false
    @OptionGroup(title: "What one request may ask for") var requestLimits: ServerLimitOptions
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var template: ChatTemplateOptions
    @Flag(help: "Log every request.")
    var verbose = false

    func validate() throws {
        guard (0...65_535).contains(port) else { throw ValidationError("--port must be 0 to 65535") }
        guard (1...1_000_000).contains(maxQueuedRequests) else {
            throw ValidationError("--max-queued-requests must be 1 to 1000000")
        }
        guard (1...1_000_000).contains(maxConnections) else {
            throw ValidationError("--max-connections must be 1 to 1000000")
        }
        guard (1...1 << 40).contains(maxQueuedTokens) else {
            throw ValidationError("--max-queued-tokens must be 1 to \(1 << 40)")
        }
        if let maxBodyMemory, maxBodyMemory < requestLimits.maxBody || maxBodyMemory > 1 << 20 {
            throw ValidationError("--max-body-memory must be --max-body (\(requestLimits.maxBody)) to \(1 << 20)")
        }
        guard (0...86_400).contains(drainTimeout) else { throw ValidationError("--drain-timeout must be 0 to 86400") }
        for (name, value) in [
            ("request-timeout", requestTimeout), ("queue-timeout", queueTimeout), ("read-timeout", readTimeout),
        ] {
            if let value, !(0.001...1e6).contains(value) { throw ValidationError("--\(name) must be 0.001 to 1000000") }
        }
        guard (tlsCertificate == nil) == (tlsKey == nil) else {
            throw ValidationError("--tls-certificate and --tls-key go together")
        }
        guard !apiKey.contains("") else { throw ValidationError("--api-key must not be empty") }
        for origin in corsOrigin {
            if origin == "*", apiKey.isEmpty, apiKeyFile == nil {
                throw ValidationError("--cors-origin '*' needs --api-key: any web page could use the server")
            }
            guard try origin == "*" || /[A-Za-z][A-Za-z0-9+.\-]*:\/\/[^\/?#@\s]+/.wholeMatch(in: origin) != nil else {
                throw ValidationError("--cors-origin '\(origin)' must be scheme://host or scheme://host:port")
            }
        }
    }

    func run() async throws {
        let path = try source.path()
        var options = ServerOptions()
        options.host = host
        options.port = port
        options.apiKeys = apiKey
        if let apiKeyFile {
            let file = try KeyFile(path: apiKeyFile)
            if file.isOpen { Terminal.warn("martlet: warning: every user of this machine may read \(apiKeyFile)") }
            options.apiKeys += file.keys
        }
        options.usesMetricNamesOfVLLM = metricsCompat == .vllm
        options.allowedHosts = allowedHost
        options.allowedOrigins = corsOrigin
        options.unixSocket = unixSocket
        if let tlsCertificate, let tlsKey {
            options.tls = TLSFiles(certificate: tlsCertificate, key: tlsKey)
            // What is wrong with them is said before anything else.
            try options.tls?.check()
        }
        options.servesWebPage = !noWebPage
        options.requestTimeout = requestTimeout.map { .seconds($0) }
        options.queueTimeout = queueTimeout.map { .seconds($0) }
        options.readTimeout = .seconds(readTimeout)
        options.maxConnections = maxConnections
        options.bodyMemory = max(maxBodyMemory.map { $0 << 20 } ?? options.bodyMemory, requestLimits.maxBody << 20)
        options.modelNames = names.names(of: path)
        options.limits = requestLimits.limits
        options.refusesUnknownFields = strict
        options.pooling = pooling
        options.drainTimeout = .seconds(drainTimeout)
        var engine = try limits.engineOptions()
        engine.maxQueuedRequests = maxQueuedRequests
        engine.maxQueuedTokens = maxQueuedTokens
        var load = limits.applied(to: compute.loadOptions)
        load.maxImagePixels = requestLimits.maxImagePixels
        try template.apply(to: &load)
        var logger = Logger(label: "martlet") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = verbose ? .info : .notice
        let name = options.modelNames[0]
        let scheme = options.tls == nil ? "http" : "https"
        let place: @Sendable (Int) -> String = { [unixSocket, host = options.hostInURL] port in
            unixSocket.map { "unix:\($0)" } ?? "\(scheme)://\(host):\(port)"
        }
        let server = Server(
            options: options, version: MartletCommand.version, logger: logger,
            onListening: { Terminal.warn("listening at \(place($0)), loading \(name)") },
            onReady: { [unixSocket] in Terminal.warn("\(name) at \(place($0))\(unixSocket == nil ? "/v1" : "")") },
            load: { [load, engine] in try await ModelLoading.engine(path, load, engine, progress: $0) })
        do {
            try await server.runUntilSignalled()
        } catch is SocketAddressError.UnknownHost {
            throw CommandFailure("cannot listen at \(options.hostInURL):\(port): the host is not known")
        }
    }
}
