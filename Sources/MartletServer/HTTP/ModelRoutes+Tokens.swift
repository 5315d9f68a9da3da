import Hummingbird
import HummingbirdCore
import Martlet
import MartletJinja

// vLLM's routes for tokens.
extension ModelRoutes {
    /// `{"prompt"}` or `{"messages"}`, with `tools`, becomes `{"tokens", "count", "max_model_len"}`.
    func tokenize(_ document: Value) throws -> Response {
        var fields = try RequestFields(document)
        if let name = try fields.string("model"), !model.names.contains(name) { throw APIError.modelNotFound(name) }
        let tokens: [Int]
        if let prompt = try fields.string("prompt") {
            guard fields.take("messages") == nil else {
                throw APIError.value("messages", "must not be there together with 'prompt'")
            }
            tokens = model.llm.tokenize(prompt, addSpecialTokens: try fields.bool("add_special_tokens") ?? true)
        } else {
            tokens = try conversation(&fields).tokens(model.llm)
        }
        var members: [(String, Value)] = [
            ("count", .int(tokens.count)), ("max_model_len", .int(model.llm.contextLength)),
            ("tokens", .list(tokens.map(Value.int))), ("token_strs", .null),
        ]
        if try fields.bool("return_token_strs") == true {
            let texts = tokens.map { Value.string(String(decoding: model.llm.tokenBytes($0), as: UTF8.self)) }
            members[3].1 = .list(texts)
        }
        return try response(.dictionary(members), unknown: fields.remaining)
    }

    /// `{"messages"}` becomes `{"prompt"}`: what the chat template makes of a conversation (llama.cpp's route).
    func applyTemplate(_ document: Value) throws -> Response {
        var fields = try RequestFields(document)
        if let name = try fields.string("model"), !model.names.contains(name) { throw APIError.modelNotFound(name) }
        let text = try conversation(&fields).text(model.llm)
        return try response(.dictionary([("prompt", .string(text))]), unknown: fields.remaining)
    }

    /// `{"tokens"}` becomes `{"prompt"}`, special tokens included.
    func detokenize(_ document: Value) throws -> Response {
        var fields = try RequestFields(document)
        if let name = try fields.string("model"), !model.names.contains(name) { throw APIError.modelNotFound(name) }
        guard let tokens = try fields.integers("tokens") else {
            throw APIError(
                400, "Missing required parameter: 'tokens'.", parameter: "tokens", code: "missing_required_parameter")
        }
        let vocabulary = model.llm.vocabularySize
        for token in tokens where !(0..<vocabulary).contains(token) {
            throw APIError.value("tokens", "has token \(token); the model has tokens 0 to \(vocabulary - 1)")
        }
        let text = model.llm.detokenize(tokens, skipSpecialTokens: false)
        return try response(.dictionary([("prompt", .string(text))]), unknown: fields.remaining)
    }

    /// What `/v1/chat/completions` would make of `messages` and `tools`.
    private func conversation(_ fields: inout RequestFields) throws(APIError) -> ChatPrompt {
        let tools = try fields.toolUse(ToolFormat(model.llm), limit: model.limits.tools)
        return try fields.chatPrompt(model, tools: tools?.functions.map(\.document) ?? [])
    }

    /// - Throws: 400 for fields that nobody knows, where these are refused.
    private func response(_ document: Value, unknown fields: [String]) throws(APIError) -> Response {
        try checkUnknown(fields)
        return response(document, warningOf: fields)
    }
}
