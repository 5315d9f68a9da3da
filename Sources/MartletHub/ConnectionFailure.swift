internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOPosix

/// What went wrong between two machines, in a few words.
package enum ConnectionFailure {
    package static func reason(_ error: any Error) -> String {
        if let error = error as? HTTPClientError {
            switch error {
            case .connectTimeout, .getConnectionFromPoolTimeout: return "no connection in time"
            case .deadlineExceeded: return "no answer in time"
            case .readTimeout: return "no byte came for too long"
            case .remoteConnectionClosed: return "the server closed the connection"
            case .proxyAuthenticationRequired: return "the proxy asks for a name and a password"
            case .invalidProxyResponse: return "the proxy refuses to connect"
            default: return error.shortDescription
            }
        }
        if isUnknownHost(error) { return "the host is not known" }
        if let error = systemError(error) { return "no connection: \(String(cString: strerror(error.errnoCode)))" }
        return String(describing: error).excerpt
    }

    /// Whether nobody knows the host's address. That hardly changes within a minute.
    static func isUnknownHost(_ error: any Error) -> Bool {
        (error as? NIOConnectionError)?.connectionErrors.isEmpty ?? false
    }

    /// Whether a proxy does not let us through.
    static func isRefusalOfProxy(_ error: any Error) -> Bool {
        guard let error = error as? HTTPClientError else { return false }
        return error == .proxyAuthenticationRequired || error == .invalidProxyResponse
    }

    /// A host may have several addresses; the last one's error is as good as another's.
    private static func systemError(_ error: any Error) -> IOError? {
        error as? IOError ?? (error as? NIOConnectionError)?.connectionErrors.last?.error as? IOError
    }
}
