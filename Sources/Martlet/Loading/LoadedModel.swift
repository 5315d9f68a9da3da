package import MartletCheckpoints
package import MartletGraph
package import MartletTokenizers

/// A model that is ready to run, with its tokenizer: what the engine, the benchmarks and the command line share.
package struct LoadedModel {
    package let outline: ModelOutline
    /// Nil for a folder without `tokenizer.json`: token ids are all that such a model takes.
    package let tokenizer: Tokenizer?
    package let compiled: any CompiledModel
    /// The model up to its final norm; nil unless asked for. It shares `compiled`'s weights and workers, so only one of them
    /// may run at a time.
    package let hiddenStates: (any CompiledModel)?
    private let checkpoint: Checkpoint
    private let maxImagePixels: Int
    /// Seconds from the call to a model that can run.
    package let loadTime: Double

    package var configuration: ModelConfiguration { outline.configuration }
    /// Width of the logits.
    package var vocabularySize: Int { compiled.plan.logits.shape.width }
    package var contextLength: Int { outline.contextLength }
    package var threads: Int { outline.threads }
    package var compute: LoadOptions.Compute { outline.compute }
    package var kvType: LoadOptions.KVCacheType { outline.kvType }
    package var instructionSet: String { outline.instructionSet }

    /// Reads, repacks and compiles a model.
    ///
    /// - Parameter progress: called with 0 to 1 as weights are repacked.
    /// - Throws: `CheckpointError`, `TokenizerError` or `CPUBackendError`.
    package init(path: String, options: LoadOptions = .init(), progress: @Sendable (Double) -> Void = { _ in }) throws {
        let start = ContinuousClock.now
        maxImagePixels = options.maxImagePixels
        let checkpoint = try Checkpoint(path: path)
        // A vocabulary takes one processor a tenth of a second and more: beside the weights, which take them all.
        let tokenizer = Background(name: "martlet-tokenizer") {
            checkpoint.hasTokenizer ? try Tokenizer(checkpoint) : nil
        }
        outline = try ModelOutline(checkpoint, options: options)
        if options.givesHiddenStates {
            let models = try outline.compileWithHiddenStates(progress: progress)
            (compiled, hiddenStates) = (models.logits, models.hiddenStates)
        } else {
            (compiled, hiddenStates) = (try outline.compile(progress: progress), nil)
        }
        self.tokenizer = try tokenizer.value()
        self.checkpoint = checkpoint
        loadTime = (ContinuousClock.now - start).seconds
    }

    /// Loads the vision tower; nil in models that don't see.
    package func makeVision() throws -> sending VisionRunner? {
        try outline.compileVision(checkpoint, maxPixels: maxImagePixels)
    }
}

extension Duration {
    package var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
