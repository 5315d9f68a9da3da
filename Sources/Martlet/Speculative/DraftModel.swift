import MartletTokenizers

extension DraftModelProposer {
    /// Loads a draft model.
    ///
    /// - Parameters:
    ///   - options: of the target model. The draft model's arithmetic is the fastest: nobody sees what it says.
    ///   - tokenizer: of the target model.
    ///   - vocabularySize: of the target model's logits.
    /// - Throws: what loading a model throws; `invalidParameter` for one with another vocabulary.
    convenience init(path: String, options: LoadOptions, tokenizer: Tokenizer, vocabularySize: Int) throws {
        var options = options
        options.compute = .int8
        options.maxSampledRows = options.maxRequests
        let draft = try LoadedModel(path: path, options: options)
        guard draft.tokenizer?.hasSameVocabulary(as: tokenizer) == true else {
            throw EngineError.invalid("speculation", "names a model with another vocabulary: \(path)")
        }
        self.init(draft.compiled, contextLength: draft.contextLength, targetVocabularySize: vocabularySize)
    }
}
