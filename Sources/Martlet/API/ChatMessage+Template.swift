import MartletJinja

extension ChatMessage {
    /// The message as a chat template sees it.
    ///
    /// - Parameter inParts: whether the content is a list of parts, as templates of models that see want it, or a string.
    func templateValue(inParts: Bool) -> Value {
        let content: Value =
            inParts
            ? .list(
                parts.map { part -> Value in
                    switch part {
                    case .text(let text): .dictionary([("type", .string("text")), ("text", .string(text))])
                    case .image: .dictionary([("type", .string("image"))])
                    }
                }) : .string(self.content)
        return .dictionary([("role", .string(role)), ("content", content)])
    }
}
