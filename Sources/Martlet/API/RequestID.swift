/// Names a request within one engine. Later requests have larger ids.
public struct RequestID: Sendable, Hashable, Comparable, CustomStringConvertible {
    package let value: UInt64
    /// Which of the request's answers; outside of the engine it is 0 and stands for all of them.
    package let choice: Int

    package init(_ value: UInt64, choice: Int = 0) {
        self.value = value
        self.choice = choice
    }

    public static func < (lhs: RequestID, rhs: RequestID) -> Bool {
        (lhs.value, lhs.choice) < (rhs.value, rhs.choice)
    }

    public var description: String { choice == 0 ? "request-\(value)" : "request-\(value).\(choice)" }
}
