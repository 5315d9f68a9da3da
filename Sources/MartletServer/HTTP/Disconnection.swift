import NIOCore
import Synchronization

/// Notices at once that a client is gone, so that nobody computes for it: a handler in each connection's pipeline.
///
/// A client that closes its half of the connection counts as gone, as it does for other servers of language models.
final class Disconnection: ChannelInboundHandler, RemovableChannelHandler, Sendable {
    typealias InboundIn = NIOAny

    private struct State {
        var isGone = false
        /// What to stop. A connection has one request at a time.
        var action: (@Sendable () -> Void)?
        var channel: (any Channel)?
    }

    private let state = Mutex(State())

    /// Calls `action` when the client goes, or now if it is gone. It replaces the one before.
    func onDisconnect(_ action: (@Sendable () -> Void)?) {
        let isGone = state.withLock { state in
            state.action = action
            return state.isGone
        }
        if isGone { action?() }
    }

    /// Runs an operation, and cancels it when the client goes.
    func run<Value: Sendable>(_ operation: @escaping @Sendable () async throws -> Value) async throws -> Value {
        let task = Task { try await operation() }
        onDisconnect { task.cancel() }
        defer { onDisconnect(nil) }
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }

    /// Lets the client go.
    func close() { state.withLock { $0.channel }?.close(promise: nil) }

    func handlerAdded(context: ChannelHandlerContext) {
        state.withLock { $0.channel = context.channel }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        state.withLock { $0.channel = nil }
    }

    func channelInactive(context: ChannelHandlerContext) {
        disconnect()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent {
            disconnect()
            context.close(promise: nil)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    private func disconnect() {
        let action = state.withLock { state in
            state.isGone = true
            return state.action
        }
        action?()
    }
}
