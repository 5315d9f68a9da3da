public import Foundation

/// One message of a conversation.
public struct ChatMessage: Sendable, Hashable {
    /// A piece of a message.
    public enum Part: Sendable, Hashable {
        case text(String)
        /// A JPEG, PNG or WebP file, for models that see.
        case image(Data)
    }

    /// "system", "user", "assistant", or whatever else the model's chat template knows.
    public var role: String
    /// What the message says and shows, in that order.
    public var parts: [Part]

    public init(role: String, content: String) {
        self.init(role: role, parts: [.text(content)])
    }

    public init(role: String, parts: [Part]) {
        self.role = role
        self.parts = parts
    }

    /// The text of the message, without its images.
    public var content: String {
        get {
            parts.map { if case .text(let text) = $0 { text } else { "" } }.joined()
        }
        set { parts = [.text(newValue)] }
    }

    /// The files of the message's images.
    public var images: [Data] {
        parts.compactMap { if case .image(let file) = $0 { file } else { nil } }
    }
}

/// `{"role": …, "content": …}`, with a string, or a list of `{"type": "text", "text": …}` and `{"type": "image", "image": …}`
/// in Base64.
extension ChatMessage: Codable {
    private enum Keys: String, CodingKey { case role, content }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Keys.self)
        role = try container.decode(String.self, forKey: .role)
        if let text = try? container.decode(String.self, forKey: .content) {
            parts = [.text(text)]
        } else {
            parts = try container.decode([Part].self, forKey: .content)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Keys.self)
        try container.encode(role, forKey: .role)
        if images.isEmpty {
            try container.encode(content, forKey: .content)
        } else {
            try container.encode(parts, forKey: .content)
        }
    }
}

extension ChatMessage.Part: Codable {
    private enum Keys: String, CodingKey { case type, text, image }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Keys.self)
        switch try container.decode(String.self, forKey: .type) {
        case "text": self = .text(try container.decode(String.self, forKey: .text))
        case "image": self = .image(try container.decode(Data.self, forKey: .image))
        case let type:
            throw DecodingError.dataCorruptedError(
                forKey: .type, in: container, debugDescription: "a part is 'text' or 'image', not '\(type)'")
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Keys.self)
        switch self {
        case .text(let text):
            try container.encode("text", forKey: .type)
            try container.encode(text, forKey: .text)
        case .image(let file):
            try container.encode("image", forKey: .type)
            try container.encode(file, forKey: .image)
        }
    }
}
