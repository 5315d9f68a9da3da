import Foundation

/// How many files and connections the process may have open.
enum DescriptorLimit {
    /// What the server needs besides connections: a batch of them may be accepted before their number is looked at, and
    /// models are read from files.
    private static let reserve = 32

    /// Raises the process's limit as far as it may and as needed.
    ///
    /// - Parameter wanted: connections.
    /// - Returns: connections that there is room for, `wanted` at most. Accepting more than that would fail over and over.
    static func connections(_ wanted: Int) -> Int {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(resource, &limit) == 0 else { return wanted }
        let open = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? reserve
        let (soft, hard) = (Int(clamping: limit.rlim_cur), Int(clamping: limit.rlim_max))
        let plan = plan(wanted, soft: soft, hard: hard, open: open)
        guard plan.limit > soft else { return plan.connections }
        limit.rlim_cur = rlim_t(plan.limit)
        // Where that is refused, the old limit has to do.
        return setrlimit(resource, &limit) == 0
            ? plan.connections : self.plan(wanted, soft: soft, hard: soft, open: open).connections
    }

    /// - Parameters:
    ///   - soft: the limit as it is; `hard`: as far as it may be raised.
    ///   - open: files that are open.
    /// - Returns: the limit to set, and the connections that it has room for, at least one.
    static func plan(_ wanted: Int, soft: Int, hard: Int, open: Int) -> (limit: Int, connections: Int) {
        let others = open + reserve
        let (sum, overflow) = max(wanted, 1).addingReportingOverflow(others)
        let limit = max(soft, min(overflow ? .max : sum, hard))
        return (limit, min(wanted, max(limit - others, 1)))
    }
}
