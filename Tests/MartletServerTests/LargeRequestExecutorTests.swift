import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore
import Synchronization
import Testing

@testable import MartletServer

@Suite struct LargeRequestExecutorTests {
    private final class Flag: Sendable { let isSet = Atomic(false) }

    /// As many jobs as the cooperative pool has threads, and more, hold theirs until another task has run.
    @Test(.timeLimit(.minutes(1))) func othersRunWhileLargeRequestsHoldTheirThreads() async {
        let executor = LargeRequestExecutor()
        let flag = Flag()
        await withTaskGroup { group in
            for _ in 0..<2 * ProcessInfo.processInfo.activeProcessorCount + 1 {
                group.addTask(executorPreference: executor) {
                    while !flag.isSet.load(ordering: .relaxed) { usleep(1000) }
                }
            }
            await Task { flag.isSet.store(true, ordering: .relaxed) }.value
        }
    }

    @Test(
        arguments: [
            ([:], false), ([.contentLength: "100"], false), ([.contentLength: "262143"], false),
            ([.contentLength: "262144"], true), ([.contentLength: "99999999999999999999"], true),
            ([.transferEncoding: "chunked"], true),
        ] as [(HTTPFields, Bool)])
    func sizes(headers: HTTPFields, isLarge: Bool) {
        let head = HTTPRequest(
            method: .post, scheme: nil, authority: nil, path: "/v1/completions", headerFields: headers)
        #expect(LargeRequestExecutor.takes(Request(head: head, body: .init(buffer: ByteBuffer()))) == isLarge)
    }
}
