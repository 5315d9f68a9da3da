/// One message of a conversation.
public struct ChatMessage: Sendable, Hashable, Codable {
    /// "system", "user", "assistant", or whatever else the model's chat template knows.
    public var role: String
    public var content: String

    public init(role: String, content: String) {
        self.role = role
        self.content = content
    }
}
