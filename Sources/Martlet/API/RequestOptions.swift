/// On what terms a request is served beside others. It doesn't change the answer.
public struct RequestOptions: Sendable, Hashable {
    /// Requests of higher priority run first. Where memory is short, requests of lower priority wait for them.
    public var priority = 0
    /// Who asks. Clients whose requests wait at the same priority get equal shares of the engine's work.
    public var client = ""
    /// The request shares cached prefixes only with requests of the same salt. Give tenants different ones where none may
    /// find out, by the time an answer takes, what others have asked.
    public var cacheSalt = ""
    /// Gives the request up with an error (`queueTimeout`) when it has waited that long without beginning to run.
    public var queueTimeout: Duration?
    /// Gives the request up with an error (`deadlineExceeded`) when it isn't finished by then.
    public var timeout: Duration?
    /// When the request came, where that was before the engine heard of it: times and time limits count from there.
    package var arrival: ContinuousClock.Instant?

    /// Requests of the same turn are parts of one list.
    package var turn: SharedTurn?

    public init() {}
}

extension RequestTerms {
    init(_ options: RequestOptions) {
        let arrival = options.arrival ?? .now
        self.init(
            priority: options.priority, client: options.client, cacheSalt: options.cacheSalt,
            queueDeadline: options.queueTimeout.map { arrival + $0 }, deadline: options.timeout.map { arrival + $0 },
            turn: options.turn)
    }
}
