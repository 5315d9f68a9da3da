import Foundation
import Martlet
import MartletJinja

/// Answers as Ollama gives them: a document, or one for every part, each on a line.
struct OllamaDialect: Dialect {
    let route: OllamaRequest.Route
    let request: CompletionRequest
    let model: String

    func document(_ completions: [Completion]) -> Value {
        guard let completion = completions.first else { return .null }
        let (text, calls) = request.tools?.read(completion.text) ?? (completion.text, [])
        return part(text, calls, end: (completion.finishReason, completion.usage, completion.timings))
    }

    func events() -> any AnswerEvents { OllamaLines(self) }

    /// The whole answer to a request without a prompt.
    func document(doneFor reason: String) -> Value {
        let end: [(String, Value)] = [("done", .bool(true)), ("done_reason", .string(reason))]
        return .dictionary(beginning("", []) + end)
    }

    /// What all parts begin with.
    private func beginning(_ text: String, _ calls: [ToolCall]) -> [(String, Value)] {
        var members: [(String, Value)] = [
            ("model", .string(model)), ("created_at", .string(Date.now.formatted(.iso8601))),
        ]
        switch route {
        case .generate: members.append(("response", .string(text)))
        case .chat:
            var message: [(String, Value)] = [("role", .string("assistant")), ("content", .string(text))]
            if !calls.isEmpty {
                message.append(
                    (
                        "tool_calls",
                        .list(
                            calls.map { call in
                                let function: [(String, Value)] = [
                                    ("name", .string(call.name)),
                                    ("arguments", (try? Value(json: call.arguments)) ?? .dictionary([])),
                                ]
                                return .dictionary([("function", .dictionary(function))])
                            })
                    ))
            }
            members.append(("message", .dictionary(message)))
        }
        return members
    }

    func part(_ text: String, _ calls: [ToolCall], end: (FinishReason, Usage, RequestTimings)?) -> Value {
        var members = beginning(text, calls)
        members.append(("done", .bool(end != nil)))
        if let (reason, usage, timings) = end {
            func nanoseconds(_ duration: Duration) -> Value { .int(Int(duration.seconds * 1e9)) }
            members += [
                ("done_reason", .string(reason == .length ? "length" : "stop")),
                ("total_duration", nanoseconds(timings.lastToken)), ("load_duration", .int(0)),
                ("prompt_eval_count", .int(usage.promptTokens)),
                ("prompt_eval_duration", nanoseconds(timings.firstToken - timings.queued)),
                ("eval_count", .int(usage.generatedTokens)),
                ("eval_duration", nanoseconds(timings.lastToken - timings.firstToken)),
            ]
        }
        return .dictionary(members)
    }
}

struct OllamaLines: AnswerEvents {
    private let dialect: OllamaDialect
    private var parser: ToolCallParser?
    /// Calls come whole.
    private var calls: [ToolCall] = []
    private var last: RequestOutput?

    init(_ dialect: OllamaDialect) {
        self.dialect = dialect
        parser = dialect.request.tools.map(ToolCallParser.init)
    }

    var contentType: String { "application/x-ndjson" }

    private static func line(_ document: Value) -> String { document.line + "\n" }

    mutating func text(for event: CompletionStream.Event) -> String {
        guard case .output(_, let output) = event else { return "" }
        last = output
        var text = output.text
        if parser != nil {
            text = ""
            var events = parser?.append(output.text) ?? []
            if output.finishReason != nil { events += parser?.finish() ?? [] }
            for event in events {
                switch event {
                case .text(let part): text += part
                case .call(_, let name): calls.append(ToolCall(id: "", name: name))
                case .arguments(let index, let part): calls[index].arguments += part
                }
            }
        }
        return text.isEmpty ? "" : Self.line(dialect.part(text, [], end: nil))
    }

    mutating func end() -> String {
        guard let last, let reason = last.finishReason else { return "" }
        let whole = calls.isEmpty ? "" : Self.line(dialect.part("", calls, end: nil))
        return whole + Self.line(dialect.part("", [], end: (reason, last.usage, last.timings)))
    }

    func text(_ error: APIError) -> String { Self.line(ErrorStyle.ollama.document(error)) }
}
