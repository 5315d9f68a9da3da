import Crypto
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
        let completion = try checked(AnthropicRequest.chat(original, countsOnly: true), isCounted: true)
        let answer = Value.dictionary([("input_tokens", .int(completion.prompts[0].count))])
        return response(answer, warningOf: completion.unknownFields)
    }

    /// A request that is checked like any other, and not run.
    ///
    /// - Parameter isCounted: its tokens are asked for, however many they are.
    private func checked(_ request: Translation, isCounted: Bool = false) throws(APIError) -> CompletionRequest {
        do {
            let completion = try CompletionRequest(request, for: model, isCounted: isCounted)
            try checkUnknown(completion.unknownFields)
            return completion
        } catch {
            throw error.renamed(request.names)
        }
    }

    // MARK: Ollama

    func ollama(
        _ route: OllamaRequest.Route, _ original: Value, _ context: APIContext
    ) async throws -> Response {
        let request = try OllamaRequest.completion(route, original, servedAs: model.names)
        if let reason = OllamaRequest.loadReason(route, original) {
            return try await ollamaLoad(route, request, reason)
        }
        return try await answer(request, context) { completion, _ in
            OllamaDialect(route: route, request: completion, model: model.name)
        }
    }

    /// The model is loaded as long as the server runs: there is nothing to do.
    private func ollamaLoad(
        _ route: OllamaRequest.Route, _ request: Translation, _ reason: String
    ) async throws -> Response {
        try state.checkDraining()
        let completion = try checked(request)
        do {
            try await completion.prepare(on: model.llm)
        } catch let error as APIError {
            throw error.renamed(request.names)
        }
        let dialect = OllamaDialect(route: route, request: completion, model: model.name)
        return response(dialect.document(doneFor: reason), warningOf: completion.unknownFields)
    }

    func ollamaModels(_ request: Request) throws -> Response {
        try APIResponder.check(request, .get)
        let models = model.names.map { name in
            Value.dictionary([
                ("name", .string(name)), ("model", .string(name)),
                ("modified_at", .string(Date(timeIntervalSince1970: Double(model.created)).formatted(.iso8601))),
                ("size", .int(0)), ("digest", .string(ollamaDigest)), ("details", ollamaDetails),
            ])
        }
        return Response(json: .dictionary([("models", .list(models))]))
    }

    func ollamaShow(_ document: Value) throws -> Response {
        var fields = try RequestFields(document)
        let (newer, older) = (try fields.string("model"), try fields.string("name"))
        for name in [newer, older].compactMap({ $0 }) {
            guard model.names.contains(OllamaRequest.withoutTag(name, servedAs: model.names)) else {
                throw APIError.modelNotFound(name)
            }
        }
        // Ollama's own client always sends these; such values ask for nothing.
        for name in ["system", "template"] where document[name]?.asString == "" { _ = fields.take(name) }
        if case .bool(false)? = document["verbose"] { _ = fields.take("verbose") }
        try checkUnknown(fields.remaining)
        let architecture = model.llm.configuration.architecture
        var capabilities: [Value] = [.string("completion"), .string("tools")]
        if model.llm.seesImages { capabilities.append(.string("vision")) }
        return response(
            .dictionary([
                ("modelfile", .string("")), ("parameters", .string("")), ("template", .string("")),
                ("details", ollamaDetails),
                (
                    "model_info",
                    .dictionary([
                        ("general.architecture", .string(architecture)),
                        ("\(architecture).context_length", .int(model.llm.contextLength)),
                    ])
                ), ("capabilities", .list(capabilities)),
            ]), warningOf: fields.remaining)
    }

    /// Tells models apart, and is the same at every start. Ollama's clients take 12 of its 64 digits without looking how many
    /// there are. It is made of what the model is like: a hash of the file takes a second or more for each gigabyte.
    private var ollamaDigest: String {
        let configuration = model.llm.configuration
        let facts =
            "\(model.name) \(configuration.architecture) \(configuration.layerCount) \(configuration.hiddenSize) "
            + "\(configuration.vocabularySize)"
        return SHA256.hash(data: Data(facts.utf8)).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private var ollamaDetails: Value {
        let family = Value.string(model.llm.configuration.architecture)
        return .dictionary([
            ("parent_model", .string("")), ("format", .string("")), ("family", family), ("families", .list([family])),
            ("parameter_size", .string("")), ("quantization_level", .string("")),
        ])
    }
}
