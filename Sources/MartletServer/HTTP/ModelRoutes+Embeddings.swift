import HTTPTypes
import Hummingbird
import HummingbirdCore
import Martlet
import MartletJinja

extension ModelRoutes {
    /// Vectors of texts, in the order of the texts.
    func embeddings(
        _ route: EmbeddingRequest.Route, _ document: Value, _ context: APIContext
    ) async throws -> Response {
        let start = ContinuousClock.now
        try state.checkDraining()
        var embedding = try EmbeddingRequest(route, document, for: model)
        try checkUnknown(embedding.unknownFields)
        embedding.options.arrival = start
        embedding.options.timeout = options.requestTimeout
        embedding.options.queueTimeout = options.queueTimeout
        let embeddings: [Embedding]
        do {
            embeddings = try await context.disconnection.run {
                [llm = model.llm, pooling = options.pooling, embedding] in
                try await llm.embed(embedding.inputs.map(Prompt.tokens), pooling: pooling, options: embedding.options)
            }
        } catch let error as EngineError {
            throw APIError(error, prompt: route.inputField)
        }
        var response = Response(
            jsonText: try embedding.json(
                embeddings, model: model.name, seconds: (ContinuousClock.now - start).seconds))
        warn(of: embedding.unknownFields, in: &response)
        return response
    }
}
