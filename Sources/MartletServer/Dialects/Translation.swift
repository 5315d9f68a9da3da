import MartletJinja

/// A request of another API, as one for a completion.
struct Translation: Sendable {
    let kind: CompletionRequest.Kind
    let document: Value
    let names: FieldNames
    /// `CompletionRequest.init(_:_:for:isCounted:textTokens:)`.
    var textTokens: Int? = CompletionRequest.defaultTextTokens
}

extension CompletionRequest {
    init(_ translation: Translation, for model: ServedModel, isCounted: Bool = false) throws(APIError) {
        try self.init(
            translation.kind, translation.document, for: model, isCounted: isCounted, textTokens: translation.textTokens
        )
    }
}

/// What a completion's fields are called in the request that the caller sent, so that errors name what he knows.
struct FieldNames: Sendable {
    /// The caller's name for a field, or for one inside of another ("response_format.type").
    var fields: [String: String] = [:]
    /// For each of `messages`, the field that it was made of.
    var messages: [String] = []

    /// The caller's name for the place of a value ("messages[1].content").
    func original(_ path: String) -> String {
        if let name = fields[path] { return name }
        if let name = fields.keys.filter({ path.hasPrefix($0 + ".") }).max(by: { $0.count < $1.count }),
            let original = fields[name]
        {
            return original + path.dropFirst(name.count)
        }
        let root = path.prefix { $0 != "." && $0 != "[" }
        let rest = path.dropFirst(root.count)
        if root == "messages", let end = rest.firstIndex(of: "]"), let index = Int(rest[..<end].dropFirst()),
            messages.indices.contains(index)
        {
            return messages[index] + rest[rest.index(after: end)...]
        }
        return (fields[String(root)] ?? String(root)) + rest
    }
}

extension RequestFields {
    /// What is left of a request of another API, for the completion that it becomes.
    ///
    /// - Throws: 400 for a field of completions that has no place in that API's answers.
    func untranslated() throws(APIError) -> [(String, Value)] {
        for name in remaining where Self.answersOnly.contains(name) { throw .unsupported(name) }
        return rest
    }

    private static let answersOnly: Set = [
        "n", "best_of", "echo", "logprobs", "prompt_logprobs", "prompt", "messages",
        "max_tokens", "max_completion_tokens",
    ]
}

extension APIError {
    /// The same error in the names of the caller's request.
    func renamed(_ names: FieldNames) -> APIError {
        guard let parameter else { return self }
        let original = names.original(parameter)
        var error = self
        error.parameter = original
        error.message = message.replacing("'\(parameter)'", with: "'\(original)'")
        for word in ["the", "your"] {
            for end in [" ", ".", ","] {
                error.message.replace("\(word) \(parameter)\(end)", with: "\(word) \(original)\(end)")
            }
        }
        return error
    }
}
