/// Why a model could not be downloaded, in one line.
package struct HubError: Error, Equatable, CustomStringConvertible {
    package enum Code: Sendable {
        /// What was asked for is no name of a model.
        case invalidName
        /// There is no such repository, revision or file, or it is not visible without the right token.
        case notFound
        /// The hub asks for a token, or the one it got is not good enough.
        case unauthorized
        /// The hub refuses for now: too many requests.
        case rateLimited
        /// No address is known for the host.
        case unknownHost
        /// The server broke off, answered with an error of its own, or does not answer.
        case connection
        /// The server answered something that cannot be right.
        case badResponse
        /// The bytes that came are not the ones that the repository lists.
        case hashMismatch
        /// The repository has nothing that Martlet reads.
        case noModel
        /// The disk is full, or a file cannot be written.
        case storage
    }

    package let code: Code
    package let message: String
    /// Whether the same request may succeed a moment later.
    let isTransient: Bool
    /// How many seconds the server asks to wait before that.
    let retryAfter: Double?

    init(_ code: Code, _ message: String, isTransient: Bool = false, retryAfter: Double? = nil) {
        self.code = code
        self.message = message
        self.isTransient = isTransient
        self.retryAfter = retryAfter
    }

    package var description: String { message }
}

extension String {
    /// What a server sent, fit for a line of an error message.
    var excerpt: String {
        let line = unicodeScalars.prefix(200).map { $0.properties.generalCategory == .control ? " " : String($0) }
        return line.joined() + (unicodeScalars.count > 200 ? "…" : "")
    }
}
