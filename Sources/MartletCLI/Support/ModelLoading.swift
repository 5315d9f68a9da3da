import Martlet
import MartletCheckpoints

/// Loads models with a progress bar on stderr.
enum ModelLoading {
    static func load(_ path: String, _ options: LoadOptions) throws -> LoadedModel {
        let bar = ProgressBar("loading")
        defer { bar.finish() }
        return try LoadedModel(path: path, options: options) { bar.update($0) }
    }

    /// A model with its engine. Tells a terminal how much it can hold.
    ///
    /// - Parameter progress: called with 0 to 1, as the bar is.
    static func engine(
        _ path: String, _ options: LoadOptions, _ engine: EngineOptions,
        progress: @escaping @Sendable (Double) -> Void = { _ in }
    ) async throws -> LLM {
        let bar = ProgressBar("loading")
        defer { bar.finish() }
        let llm = try await LLM.load(path, options: options, engine: engine) {
            bar.update($0)
            progress($0)
        }
        bar.finish()
        // For people; whoever reads stderr from a program expects news only.
        guard Terminal.isInteractive else { return llm }
        Terminal.warn(
            "KV cache: \(Quantities.grouped(llm.cacheTokens)) tokens, \(Quantities.bytes(llm.cacheBytes)); "
                + "\(engine.maxRequests ?? options.maxRequests) requests at once, "
                + "the longest may have \(Quantities.grouped(llm.contextLength)) tokens")
        return llm
    }

    /// Options for running one sequence of `tokens` tokens at most, in steps of `chunk`.
    ///
    /// - Throws: `CommandFailure` if the model was not made for that many.
    static func options(
        _ base: LoadOptions, sequences: Int = 1, tokens: Int, chunk: Int, for model: ModelConfiguration
    ) throws -> LoadOptions {
        guard tokens <= model.maxPositionEmbeddings else {
            throw CommandFailure("\(tokens) tokens are more than the model's context of \(model.maxPositionEmbeddings)")
        }
        var options = base
        options.contextLength = tokens
        options.maxRequests = sequences
        options.maxBatchedTokens = max(chunk, sequences)
        // What is asked for is what is allocated: no default share of the machine's memory stands in the way.
        options.kvCacheMemory = .max
        return options
    }
}
