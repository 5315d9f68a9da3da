import HTTPTypes
import Logging
import NIOCore
import NIOEmbedded
import NIOHTTPTypes
import Testing

@testable import MartletServer

/// Bounds that show after half a minute only, on a channel with a clock of its own.
struct ConnectionBoundsTests {
    private static func channel() throws -> EmbeddedChannel {
        let channel = EmbeddedChannel(handler: ConnectionBounds(ServerMetrics(), Logger(label: "test")))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        try channel.writeInbound(HTTPRequestPart.head(.init(method: .get, scheme: nil, authority: nil, path: "/")))
        try channel.writeInbound(HTTPRequestPart.end(nil))
        return channel
    }

    /// The rest of an answer is so little that the connection counts as writable, and its client takes none of it.
    @Test func theEndOfAnAnswerIsNotWaitedForWithoutEnd() throws {
        let channel = try Self.channel()
        channel.triggerUserOutboundEvent(ConnectionBounds.AnswerIsWritten(), promise: nil)
        channel.pipeline.fireChannelWritabilityChanged()
        channel.embeddedEventLoop.advanceTime(by: .seconds(20))
        #expect(channel.isActive)
        channel.embeddedEventLoop.advanceTime(by: .seconds(20))
        #expect(!channel.isActive)
    }

    @Test func aConnectionOutlivesItsAnswers() throws {
        let channel = try Self.channel()
        channel.triggerUserOutboundEvent(ConnectionBounds.AnswerIsWritten(), promise: nil)
        try channel.writeOutbound(HTTPResponsePart.end(nil))
        channel.embeddedEventLoop.advanceTime(by: .seconds(300))
        #expect(channel.isActive)
        _ = try channel.finish()
    }
}
