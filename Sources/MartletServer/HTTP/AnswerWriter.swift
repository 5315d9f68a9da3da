import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore
import NIOHTTPTypes

/// Hands a body over in slices, and ends it when the system has taken all of it. Behind its end a connection counts as idle, and
/// what it still has to send is lost when it is closed for that.
struct AnswerWriter: ResponseBodyWriter {
    private var writer: any ResponseBodyWriter
    private let channel: any Channel

    /// Smaller bodies may lie in a connection as a whole.
    static let sliceBytes = 64 << 10

    init(_ writer: any ResponseBodyWriter, _ channel: any Channel) {
        self.writer = writer
        self.channel = channel
    }

    mutating func write(_ buffer: ByteBuffer) async throws {
        var rest = buffer
        while rest.readableBytes > 0, let slice = rest.readSlice(length: min(rest.readableBytes, Self.sliceBytes)) {
            try await writer.write(slice)
        }
    }

    consuming func finish(_ trailers: HTTPFields?) async throws {
        channel.triggerUserOutboundEvent(ConnectionBounds.AnswerIsWritten(), promise: nil)
        // Nothing, behind all that was written: it is done when that is.
        try await channel.writeAndFlush(HTTPResponsePart.body(ByteBuffer())).get()
        try await writer.finish(trailers)
    }
}
