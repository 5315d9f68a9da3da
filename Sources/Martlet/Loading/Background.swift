import Foundation

/// A value that a thread of its own makes while its owner does something else.
final class Background<Value: Sendable>: @unchecked Sendable {
    // Guards `result`.
    private let condition = NSCondition()
    private var result: Result<Value, any Error>?

    init(_ make: @escaping @Sendable () throws -> Value) {
        Thread.detachNewThread {
            let result = Result { try make() }
            self.condition.withLock {
                self.result = result
                self.condition.broadcast()
            }
        }
    }

    /// Waits for the value, or throws what kept it from being made.
    func value() throws -> Value {
        try condition.withLock {
            while true {
                if let result { return result }
                condition.wait()
            }
        }.get()
    }
}
