import MartletCheckpoints
import MartletTokenizers

extension LLM {
    /// Values of an embedding.
    public var embeddingWidth: Int { configuration.hiddenSize }

    /// A vector for each text: hidden states behind the model's final norm, pooled. A text's vector is the same to the bit
    /// whatever else the engine computes.
    ///
    /// - Parameters:
    ///   - prompts: text or tokens.
    ///   - isNormalized: gives every vector the length 1.
    /// - Throws: the first `EngineError` of any of them; `CancellationError`.
    public func embed(
        _ prompts: [Prompt], pooling: EmbeddingPooling = .mean, isNormalized: Bool = true,
        options: RequestOptions = .init()
    ) async throws -> [Embedding] {
        var options = options
        options.turn = options.turn ?? SharedTurn()
        beginList(options)
        defer { endList(options) }
        return try await Self.map(placesOf: prompts.count, atOnce: concurrency) { [options] index in
            let tokens = try self.embeddingTokens(prompts[index])
            var vector = try await self.engine.embed(tokens, pooling, options)
            if isNormalized { vector.normalize() }
            return Embedding(vector: vector, promptTokens: tokens.count)
        }
    }

    private func embeddingTokens(_ prompt: Prompt) throws(EngineError) -> [Int32] {
        switch prompt {
        case .text(let text): tokenizer.encode(text, addSpecialTokens: true)
        case .tokens(let ids), .chat(let ids, [], _): Self.tokens(ids)
        case .chat: throw EngineError(.invalidPrompt, "images have no embeddings", parameter: "image")
        }
    }
}

extension [Float] {
    /// Divides by the Euclidean length, unless that is 0.
    fileprivate mutating func normalize() {
        let length = reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        guard length > 0 else { return }
        for index in indices { self[index] = Float(Double(self[index]) / length) }
    }
}
