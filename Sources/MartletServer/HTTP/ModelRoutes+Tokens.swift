import Hummingbird
import HummingbirdCore
import Martlet
import MartletJinja

// vLLM's routes for tokens.
extension ModelRoutes {
    /// `{"prompt"}` or `{"messages"}` becomes `{"tokens", "count", "max_model_len"}`.
    func tokenize(_ document: Value) throws -> Response {
        var fields = try RequestFields(document)
        if let name = try fields.string("model"), !model.names.contains(name) { throw APIError.modelNotFound(name) }
        let tokens: [Int]
        if let prompt = try fields.string("prompt") {
            tokens = model.llm.tokenize(prompt, addSpecialTokens: try fields.bool("add_special_tokens") ?? true)
        } else {
            tokens = try fields.chatPrompt(model).tokens(model.llm)
        }
        var members: [(String, Value)] = [
            ("count", .int(tokens.count)), ("max_model_len", .int(model.llm.contextLength)),
            ("tokens", .list(tokens.map(Value.int))), ("token_strs", .null),
        ]
        if try fields.bool("return_token_strs") == true {
            let texts = tokens.map { Value.string(String(decoding: model.llm.tokenBytes($0), as: UTF8.self)) }
            members[3].1 = .list(texts)
        }
        if let name = fields.remaining.first { throw APIError.unsupported(name) }
        return Response(json: .dictionary(members))
    }

    /// `{"messages"}` becomes `{"prompt"}`: what the chat template makes of a conversation (llama.cpp's route).
    func applyTemplate(_ document: Value) throws -> Response {
        var fields = try RequestFields(document)
        if let name = try fields.string("model"), !model.names.contains(name) { throw APIError.modelNotFound(name) }
        let tools =
            try fields.toolUse(ToolFormat(model.llm), limit: model.limits.tools)?.functions.map(\.document) ?? []
        let prompt = try fields.chatPrompt(model, tools: tools)
        if let name = fields.remaining.first { throw APIError.unsupported(name) }
        return Response(json: .dictionary([("prompt", .string(try prompt.text(model.llm)))]))
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
        if let name = fields.remaining.first { throw APIError.unsupported(name) }
        return Response(
            json: .dictionary([("prompt", .string(model.llm.detokenize(tokens, skipSpecialTokens: false)))]))
    }
}
