import Foundation
import Martlet
import MartletJinja
import MartletTokenizers

/// A conversation, ready for the chat template.
struct ChatPrompt: Sendable {
    /// What the template reads.
    var variables: [String: Value]
    /// The files of the images that messages show, in order.
    var images: [Data] = []
    /// The answer goes on where the last message ends.
    var isContinued = false

    func tokens(_ llm: LLM) throws(APIError) -> [Int] {
        do {
            return try llm.promptTokens(template: variables, isContinued: isContinued)
        } catch {
            throw APIError(error, prompt: "messages")
        }
    }

    func text(_ llm: LLM) throws(APIError) -> String {
        do {
            return try llm.promptText(template: variables, isContinued: isContinued)
        } catch {
            throw APIError(error, prompt: "messages")
        }
    }
}

extension RequestFields {
    /// The conversation in `messages`, with what else the chat template reads.
    mutating func chatPrompt(_ model: ServedModel, tools: [Value] = []) throws(APIError) -> ChatPrompt {
        let llm = model.llm
        guard let value = take("messages") else { throw .missing("messages") }
        guard let elements = value.array else { throw .type("messages", expected: "an array of objects", got: value) }
        guard !elements.isEmpty else { throw .value("messages", "must not be empty") }
        guard elements.count <= model.limits.messages else {
            throw .value("messages", "may have \(model.limits.messages) messages at most")
        }
        var reader = MessageReader(seesImages: llm.seesImages, limits: model.limits)
        var messages: [Value] = []
        for (index, element) in elements.enumerated() {
            messages.append(try reader.message(element, "messages[\(index)]"))
        }

        var variables: [String: Value] = [:]
        if let object = try object("chat_template_kwargs") {
            for (key, value) in zip(object.keys, object.values) { variables[key.asString ?? ""] = value }
        }
        for name in ["messages", "tools"] {
            guard let value = variables.removeValue(forKey: name), !value.isNull else { continue }
            throw .value("chat_template_kwargs", "must not have '\(name)'")
        }
        let isContinued = try bool("continue_final_message") ?? false
        let asksForAnswer = try bool("add_generation_prompt")
        if isContinued {
            guard asksForAnswer != true else {
                throw .value("continue_final_message", "must not be true together with 'add_generation_prompt'")
            }
            messages[messages.count - 1] = try Self.open(messages[messages.count - 1])
        }
        variables["add_generation_prompt"] = .bool(asksForAnswer ?? !isContinued)
        if llm.templateSpells("tool") {
            if !tools.isEmpty { variables["tools"] = .list(tools) }
        } else {
            guard tools.isEmpty || !llm.seesImages else { throw .unsupported("tools", "are unknown to this model") }
            messages = ToolPrompt.messages(messages, tools: tools)
        }
        variables["messages"] = .list(messages)
        return ChatPrompt(variables: variables, images: reader.images, isContinued: isContinued)
    }

    /// The last message with a mark at its end.
    private static func open(_ message: Value) throws(APIError) -> Value {
        guard case .dictionary(var object) = message, object["role"]?.asString == "assistant",
            let content = object["content"], let open = MessageReader.appended(ChatTemplate.endMark + " ", to: content)
        else {
            throw .value("continue_final_message", "needs a last message of the assistant's that is text")
        }
        object.set(.string("content"), open)
        return .dictionary(object)
    }
}
