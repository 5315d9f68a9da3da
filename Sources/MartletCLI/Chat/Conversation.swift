import Martlet

/// The messages of a chat so far.
struct Conversation {
    private(set) var turns: [ChatMessage] = []
    /// Nil leaves it to the chat template, which may have a system prompt of its own.
    var system: String?

    /// What the chat template renders.
    var messages: [ChatMessage] {
        (system.map { [ChatMessage(role: "system", content: $0)] } ?? []) + turns
    }

    /// The messages with one more of the user's, which is not part of the conversation before it is answered.
    func messages(asking question: String) -> [ChatMessage] {
        messages + [ChatMessage(role: "user", content: question)]
    }

    /// A stopped answer is a turn too: the next one goes on from what was said.
    mutating func append(question: String, answer: String) {
        turns.append(ChatMessage(role: "user", content: question))
        turns.append(ChatMessage(role: "assistant", content: answer))
    }

    mutating func removeAll() { turns = [] }
}
