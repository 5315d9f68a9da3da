import Foundation
import Martlet

/// Writes an answer to standard output as it is generated.
enum AnswerStream {
    struct Answer {
        var text = ""
        var last: RequestOutput?
    }

    /// - Returns: the text as the model wrote it. A task that is cancelled returns what came until then.
    static func write(_ outputs: AsyncThrowingStream<RequestOutput, any Error>) async throws -> Answer {
        let isTerminal = StandardStream.output.isTerminal
        var answer = Answer()
        for try await output in outputs {
            answer.text += output.text
            answer.last = output
            try StandardStream.output.write(isTerminal ? printable(output.text) : output.text)
        }
        return answer
    }

    /// A model may be talked into escape sequences; a terminal does not get them.
    static func printable(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars
        where scalar == "\n" || scalar == "\t" || scalar.properties.generalCategory != .control {
            result.append(scalar)
        }
        return String(result)
    }

    /// The timings of `--verbose`, for stderr.
    static func timings(_ output: RequestOutput, loadTime: Double?) -> String {
        var parts: [String] = []
        if let loadTime { parts.append(String(format: "load %.2f s", loadTime)) }
        let first = output.timings.firstToken.seconds
        let prefill = first - output.timings.queued.seconds
        parts.append("prompt \(output.usage.promptTokens) tokens" + rate(output.usage.promptTokens, prefill))
        let decode = output.timings.lastToken.seconds - first
        let generated = output.usage.generatedTokens
        parts.append("generated \(generated) tokens" + rate(generated - 1, decode))
        parts.append(String(format: "first token %.3f s", first))
        return parts.joined(separator: ", ")
    }

    private static func rate(_ tokens: Int, _ seconds: Double) -> String {
        tokens > 0 && seconds > 0 ? String(format: " (%.1f tok/s)", Double(tokens) / seconds) : ""
    }
}
