extension Tokenizer {
    /// How control tokens are spelled that end an answer or a turn. Checkpoints often name only one of theirs: a Llama 3 file
    /// may know `<|end_of_text|>` while the model ends its turns with `<|eot_id|>`.
    private static let endSpellings = [
        "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>",  // Llama 3
        "<|im_end|>", "<|endoftext|>",  // ChatML, Qwen, SmolLM; GPT-2
        "<end_of_turn>", "<end_of_utterance>",  // Gemma, Idefics
        "<|end|>",  // Phi 3
        "<｜end▁of▁sentence｜>", "<|EOT|>",  // DeepSeek
        "<|END_OF_TURN_TOKEN|>", "<EOT>",  // Command R; CodeLlama
    ]

    /// The tokens after which there is nothing more to generate: those that the files call end of sequence or end of turn, and
    /// control tokens that are spelled like one (`endSpellings`), as in llama.cpp.
    ///
    /// Only control tokens count: an ordinary word may be spelled like anything.
    package var endTokens: [TokenID] {
        var tokens = [specialTokens.endOfSequence, specialTokens.endOfTurn].compactMap { $0 }
        tokens += Self.endSpellings.compactMap(id(of:)).filter(isSpecial)
        var seen = Set<TokenID>()
        return tokens.filter { seen.insert($0).inserted }
    }
}
