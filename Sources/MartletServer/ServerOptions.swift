public import Martlet

/// Where the server listens, who may use it, and what a request may cost.
public struct ServerOptions: Sendable {
    /// A name or an address. The default is reachable from this machine only.
    public var host = "127.0.0.1"
    /// 0 lets the system choose.
    public var port = 8080
    /// With keys, every route but `/health` and `/ready` wants one of them.
    public var apiKeys: [String] = []
    /// Names that requests may call the model by; the first is the one that answers carry.
    public var modelNames: [String] = []
    /// Names beyond the loopback's own and `host` that the `Host` and `Origin` headers may have. Without any, a server that does not
    /// listen on a loopback address or a Unix socket takes any name, and pages that come from the same name.
    public var allowedHosts: [String] = []
    /// What one request may ask for.
    public var limits = ServerLimits()
    /// Time that a request may take to arrive.
    public var readTimeout: Duration = .seconds(30)
    /// How long a connection may be without a request, or with half of one. What sends a byte a second is noticed a little later,
    /// and should be gone within 15 s.
    package var idleTimeout: Duration = .seconds(12)
    /// Bytes of all bodies together that are being read or whose requests have no answer yet; 503 beyond.
    public var bodyMemory = 256 << 20
    /// Time that requests may take to end after the server was told to stop. Their answers have 5 s more to reach who reads them.
    public var drainTimeout: Duration = .seconds(30)
    /// Connections that are open at the same time; more wait to be accepted.
    public var maxConnections = 1024

    /// How the hidden states of a text become its embedding.
    public var pooling = EmbeddingPooling.mean

    /// Fields of a request that nobody knows are an error, instead of a header in the answer.
    public var refusesUnknownFields = false

    /// Origins of web pages, as "https://chat.example.org", that may call the server from a browser; "*" for all of them.
    public var allowedOrigins: [String] = []
    /// Makes the server speak HTTPS, and nothing else.
    public var tls: TLSFiles?
    /// A path to listen on instead of a host and a port: who may use it is up to the file system.
    public var unixSocket: String?
    /// Time that a request may take in all; nil for no limit.
    public var requestTimeout: Duration?
    /// Time that a request may wait for its turn; nil for no limit.
    public var queueTimeout: Duration?
    /// Whether there is a page at `/`.
    public var servesWebPage = true

    /// Metrics that vLLM has are called `vllm:…` instead of `martlet:…`, with its labels, for dashboards that are there already.
    public var usesMetricNamesOfVLLM = false

    public init() {}

    /// The host as it stands in front of a port, in a URL for one.
    package var hostInURL: String { host.contains(":") ? "[\(host)]" : host }

    /// Where to listen, for people.
    var place: String { unixSocket ?? "\(hostInURL):\(port)" }

    /// What the model is called where nobody gave it a name, too.
    var names: [String] { modelNames.isEmpty ? ["default"] : modelNames }
}
