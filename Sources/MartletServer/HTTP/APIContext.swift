import Hummingbird
import HummingbirdCore
import NIOCore

/// What a route knows of its request besides the request itself.
struct APIContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel
    /// Who asks (`AccessControl.client`).
    var client = ""

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }

    /// Watches the client.
    ///
    /// - Throws: `CancellationError` where it is gone by now.
    var disconnection: Disconnection {
        get async throws {
            do {
                return try await channel.pipeline.handler(type: Disconnection.self).get()
            } catch {
                // A connection that is closed has no handlers.
                throw CancellationError()
            }
        }
    }
}
