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
    var disconnection: Disconnection {
        get async throws { try await channel.pipeline.handler(type: Disconnection.self).get() }
    }
}
