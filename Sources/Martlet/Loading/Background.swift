import Foundation

/// A value that a thread of its own makes while its owner does something else.
final class Background<Value: Sendable, Failure: Error>: @unchecked Sendable {
    // Guards `result`.
    private let condition = NSCondition()
    private var result: Result<Value, Failure>?

    /// - Parameter stackSize: the thread's, in bytes; nil for the usual one.
    init(name: String, stackSize: Int? = nil, _ make: @escaping @Sendable () throws(Failure) -> Value) {
        let thread = Thread {
            let result = Result(catching: make)
            self.condition.withLock {
                self.result = result
                self.condition.broadcast()
            }
        }
        thread.name = name
        if let stackSize { thread.stackSize = stackSize }
        thread.start()
    }

    /// Waits for the value, or throws what kept it from being made.
    func value() throws(Failure) -> Value {
        try condition.withLock {
            while true {
                if let result { return result }
                condition.wait()
            }
        }.get()
    }
}
