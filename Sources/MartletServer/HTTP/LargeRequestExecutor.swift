import Foundation
import HTTPTypes
import Hummingbird

/// Runs what large requests need. To parse and to tokenize megabytes holds a thread for up to a second, and the cooperative pool,
/// which answers everybody, has one for each processor: here large requests wait for one another, and nobody for them.
final class LargeRequestExecutor: TaskExecutor {
    private let queue = OperationQueue()

    /// From so many bytes on a body is large: below, it holds a thread for some milliseconds.
    static let threshold = 256 << 10

    init() {
        queue.name = "martlet-large-requests"
        queue.maxConcurrentOperationCount = max(1, ProcessInfo.processInfo.activeProcessorCount / 2)
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.addOperation { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }

    /// Whether a request's body is large, or doesn't say.
    static func takes(_ request: Request) -> Bool {
        guard let length = request.headers[.contentLength] else { return request.headers[.transferEncoding] != nil }
        return Int(length).map { $0 >= threshold } ?? true
    }
}
