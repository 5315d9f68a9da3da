import HTTPTypes
import Logging
import MartletJinja
import NIOCore
import NIOHTTP1
import NIOHTTPTypes

/// What no route sees: heads of requests that are too large to have one, bodies that go on behind their answer, and clients
/// that don't read what they asked for, or not before the server ends. And how long refusals take, seen from the connection. A
/// handler in each connection's pipeline.
final class ConnectionBounds: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// Time that the rest of a body has once its request was answered.
    private static let patience = TimeAmount.seconds(5)

    /// A client that takes nothing of an answer is looked at that often, and then given up.
    private static let stallInterval = TimeAmount.seconds(10)
    private static let stallLimit = 3

    /// Time that the last answers have to reach their readers when the server ends.
    static let farewell = TimeAmount.seconds(5)

    private let metrics: ServerMetrics
    private let logger: Logger
    /// When the last request's head was there.
    private var arrival = ContinuousClock.now
    /// Requests that have no answer yet.
    private var unanswered = 0
    /// A request's head was there, and its end was not.
    private var isReading = false
    private var closing: Scheduled<Void>?
    private var stalling: RepeatedTask?
    /// All of an answer is written but its end, which waits until the system has taken the rest.
    private var isEnding = false

    /// Says so, as an outbound event. A client may stop reading where so little is left that the connection counts as writable.
    struct AnswerIsWritten: Sendable {}

    init(_ metrics: ServerMetrics, _ logger: Logger) {
        self.metrics = metrics
        self.logger = logger
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            unanswered += 1
            isReading = true
            arrival = .now
        case .body: break
        case .end:
            isReading = false
            closing?.cancel()
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(let head): if head.status.code == 429 { metrics.observeRefusal(.now - arrival) }
        case .body: break
        case .end:
            unanswered -= 1
            isEnding = false
            watch(context.channel)
            if isReading {
                // Whoever sends it a byte at a time would keep the connection for ever.
                let channel = context.channel
                closing?.cancel()
                closing = context.eventLoop.scheduleTask(in: Self.patience) { channel.close(promise: nil) }
            }
        }
        context.write(data, promise: promise)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        watch(context.channel)
        context.fireChannelWritabilityChanged()
    }

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        if event is AnswerIsWritten {
            isEnding = true
            watch(context.channel)
        }
        context.triggerUserOutboundEvent(event, promise: promise)
    }

    /// Looks at a client while something waits for it.
    private func watch(_ channel: any Channel) {
        if channel.isWritable, !isEnding {
            stalling?.cancel()
            stalling = nil
        } else if stalling == nil {
            stalling = Self.closeWhenStalled(channel)
        }
    }

    /// Closes a connection whose client takes nothing. One that reads slowly may take as long as it likes.
    private static func closeWhenStalled(_ channel: any Channel) -> RepeatedTask {
        let last = NIOLoopBoundBox((waiting: Int.max, stalls: 0), eventLoop: channel.eventLoop)
        return channel.eventLoop.scheduleRepeatedTask(initialDelay: stallInterval, delay: stallInterval) { task in
            let waiting = try channel.syncOptions?.getOption(.bufferedWritableBytes) ?? .max
            last.value = (waiting, waiting < last.value.waiting ? 0 : last.value.stalls + 1)
            guard last.value.stalls == stallLimit - 1 else { return }
            task.cancel()
            channel.close(promise: nil)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent {
            let channel = context.channel
            context.eventLoop.scheduleTask(in: Self.farewell) { channel.close(promise: nil) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        closing?.cancel()
        stalling?.cancel()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error as? HTTPParserError == .headerOverflow, unanswered == 0 else {
            context.fireErrorCaught(error)
            return
        }
        let refusal = APIError(431, "The request's headers are too large.", code: "request_header_fields_too_large")
        let body = ByteBuffer(string: (try? refusal.json.json()) ?? "{}")
        let head = HTTPResponse(
            status: .init(code: 431, reasonPhrase: "Request Header Fields Too Large"),
            headerFields: [
                .connection: "close", .contentType: "application/json", .contentLength: String(body.readableBytes),
            ])
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(body)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        metrics.countHTTP(status: refusal.status)
        logger.info("- - \(refusal.status)")
        // A moment later: a close with unread bytes resets the connection, and the client would not see the answer.
        let channel = context.channel
        context.eventLoop.scheduleTask(in: .seconds(1)) { channel.close(promise: nil) }
    }
}

@available(*, unavailable)
extension ConnectionBounds: Sendable {}
