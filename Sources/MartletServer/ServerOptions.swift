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
    /// Names beyond the loopback's own that the `Host` and `Origin` headers may have, while the server listens on a
    /// loopback address.
    public var allowedHosts: [String] = []
    /// Largest body of a request, in bytes.
    public var maxBodyBytes = 16 << 20
    /// Time that a request may take to arrive.
    public var readTimeout: Duration = .seconds(30)
    /// Time that requests may take to end after the server was told to stop.
    public var drainTimeout: Duration = .seconds(30)
    /// Connections that are open at the same time; more wait to be accepted.
    public var maxConnections = 1024

    /// Fields of a request that nobody knows are an error, instead of a header in the answer.
    public var refusesUnknownFields = false

    public init() {}
}
