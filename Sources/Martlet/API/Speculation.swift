/// How an engine guesses tokens ahead (speculative decoding). Answers are the same with and without, to the bit.
public enum Speculation: Sendable, Hashable {
    /// What followed the answer's last tokens before may follow them again: fast for summaries, edits, and whatever else
    /// repeats a part of its prompt; no loss where nothing repeats.
    case ngram
    /// A smaller model with the same vocabulary guesses; the path is that of its file.
    case model(String)
}
