import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Martlet
import MartletCheckpoints
import MartletJinja

/// Routes of other APIs than OpenAI's completions. Each turns its request into one of those, and its answer back.
extension ModelRoutes {
    /// OpenAI's Responses, without memory.
    func responses(_ original: Value, _ context: APIContext) async throws -> Response {
        try await answer(ResponsesRequest.chat(original), context) { completion, created in
            ResponsesDialect(request: completion, model: model.name, created: created, asked: original)
        }
    }

    // MARK: Anthropic

    func messages(_ original: Value, _ context: APIContext) async throws -> Response {
        try await answer(AnthropicRequest.chat(original), context) { completion, _ in
            AnthropicDialect(request: completion, model: model.name)
        }
    }

    func countTokens(_ original: Value) throws -> Response {
        let chat = try AnthropicRequest.chat(original, countsOnly: true)
        do {
            let completion = try CompletionRequest(.chat, chat.document, for: model, isCounted: true)
            return Response(json: .dictionary([("input_tokens", .int(completion.prompts[0].count))]))
        } catch {
            throw error.renamed(chat.names)
        }
    }

    // MARK: Ollama

    func ollama(
        _ route: OllamaRequest.Route, _ original: Value, _ context: APIContext
    ) async throws -> Response {
        try await answer(OllamaRequest.completion(route, original), context) { completion, _ in
            OllamaDialect(route: route, request: completion, model: model.name)
        }
    }

    func ollamaModels(_ request: Request) throws -> Response {
        try APIResponder.check(request, .get)
        let models = model.names.map { name in
            Value.dictionary([
                ("name", .string(name)), ("model", .string(name)),
                ("modified_at", .string(Date(timeIntervalSince1970: Double(model.created)).formatted(.iso8601))),
                ("size", .int(0)), ("digest", .string("")), ("details", ollamaDetails),
            ])
        }
        return Response(json: .dictionary([("models", .list(models))]))
    }

    func ollamaShow(_ document: Value) throws -> Response {
        var fields = try RequestFields(document)
        let (newer, older) = (try fields.string("model"), try fields.string("name"))
        for name in [newer, older].compactMap({ $0 }) {
            guard model.names.contains(OllamaRequest.withoutTag(.string(name)).asString ?? "") else {
                throw APIError.modelNotFound(name)
            }
        }
        let architecture = model.llm.configuration.architecture
        var capabilities: [Value] = [.string("completion"), .string("tools")]
        if model.llm.seesImages { capabilities.append(.string("vision")) }
        return Response(
            json: .dictionary([
                ("modelfile", .string("")), ("parameters", .string("")), ("template", .string("")),
                ("details", ollamaDetails),
                (
                    "model_info",
                    .dictionary([
                        ("general.architecture", .string(architecture)),
                        ("\(architecture).context_length", .int(model.llm.contextLength)),
                    ])
                ), ("capabilities", .list(capabilities)),
            ]))
    }

    private var ollamaDetails: Value {
        let family = Value.string(model.llm.configuration.architecture)
        return .dictionary([
            ("parent_model", .string("")), ("format", .string("")), ("family", family), ("families", .list([family])),
            ("parameter_size", .string("")), ("quantization_level", .string("")),
        ])
    }
}
