import ArgumentParser
import Foundation
import Martlet

/// Guessing tokens ahead (speculative decoding).
struct SpeculationOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Guess tokens ahead: ngram, or a smaller model.",
            discussion: """
                ngram guesses that what followed the last tokens before follows them again: faster where an answer repeats \
                parts of its prompt. A MODEL with the same vocabulary guesses anything. The answer is the same, and where \
                guessing does not save time it stops.
                """, valueName: "ngram|MODEL"))
    var speculative: String?
    @Option(help: "Tokens to guess ahead at most.")
    var draftTokens = EngineOptions().maxDraftTokens

    func validate() throws {
        guard (1...1024).contains(draftTokens) else { throw ValidationError("--draft-tokens must be 1 to 1024") }
    }

    /// - Throws: `CommandFailure` where there is no such model.
    func apply(to options: inout EngineOptions) throws {
        options.maxDraftTokens = draftTokens
        guard let speculative else { return }
        options.speculation = try speculative == "ngram" ? .ngram : .model(ModelLookup().resolve(speculative))
    }
}

extension SpeculationStatistics {
    /// For `--verbose`: what came of the guesses since `earlier`.
    func text(since earlier: SpeculationStatistics) -> String {
        var answer = self
        answer.drafts -= earlier.drafts
        answer.draftTokens -= earlier.draftTokens
        answer.acceptedTokens -= earlier.acceptedTokens
        guard let rate = answer.acceptanceRate, let length = answer.meanAcceptanceLength else {
            return "nothing guessed"
        }
        return "guessed \(answer.drafts) times, accepted \(answer.acceptedTokens) of \(answer.draftTokens) tokens"
            + String(format: " (%.0f %%), %.2f tokens a time", rate * 100, length)
    }
}
