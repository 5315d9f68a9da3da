import Synchronization

/// What requests of one list, and answers to one prompt, wait for together: it comes when the first of them runs, and the
/// others, which that one holds back, wait no more.
package final class SharedTurn: Sendable, Hashable {
    private let flag = Atomic(false)

    package init() {}

    var hasCome: Bool { flag.load(ordering: .relaxed) }
    func come() { flag.store(true, ordering: .relaxed) }

    package static func == (a: SharedTurn, b: SharedTurn) -> Bool { a === b }
    package func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// On what terms a request is served among others.
package struct RequestTerms: Sendable, Hashable {
    /// Requests of higher priority run first, and keep their rows when those of others are taken.
    package var priority: Int
    /// Who asks: clients of the same priority get equal shares.
    package var client: String
    /// Requests share cached prefixes only with those of the same salt.
    package var cacheSalt: String
    /// The request is given up if neither it nor any that shares its turn has begun to run by then.
    package var queueDeadline: ContinuousClock.Instant?
    /// The request is given up if it isn't finished by then.
    package var deadline: ContinuousClock.Instant?
    package var turn: SharedTurn?

    package init(
        priority: Int = 0, client: String = "", cacheSalt: String = "", queueDeadline: ContinuousClock.Instant? = nil,
        deadline: ContinuousClock.Instant? = nil, turn: SharedTurn? = nil
    ) {
        self.priority = priority
        self.client = client
        self.cacheSalt = cacheSalt
        self.queueDeadline = queueDeadline
        self.deadline = deadline
        self.turn = turn
    }
}

extension RequestTerms {
    /// Why a request is given up.
    package enum Expiry: Sendable, Hashable {
        case queueTimeout, deadline
    }

    func expiry(at now: ContinuousClock.Instant, hasRun: Bool) -> Expiry? {
        if let deadline, deadline <= now { return .deadline }
        if !hasRun, turn?.hasCome != true, let queueDeadline, queueDeadline <= now { return .queueTimeout }
        return nil
    }
}

extension RequestTerms {
    /// For what is done before the engine has the request.
    ///
    /// - Throws: `queueTimeout` or `deadlineExceeded` where its time is over, or its task cancelled.
    func checkIsWanted() throws(EngineError) {
        guard !Task.isCancelled else { throw .cancelled }
        if let why = expiry(at: .now, hasRun: false) { throw EngineError(why) }
    }
}

extension RequestState {
    /// Whether the request's time is over.
    func expiry(at now: ContinuousClock.Instant) -> RequestTerms.Expiry? { terms.expiry(at: now, hasRun: hasRun) }
}

extension EngineError {
    /// Of a task that is cancelled before the engine has its request; nobody reads it.
    static var cancelled: EngineError { EngineError(.deadlineExceeded, "the request was cancelled") }

    init(_ expiry: RequestTerms.Expiry) {
        switch expiry {
        case .queueTimeout: self.init(.queueTimeout, "the request waited for its turn too long")
        case .deadline: self.init(.deadlineExceeded, "the request was not finished in time")
        }
    }
}
