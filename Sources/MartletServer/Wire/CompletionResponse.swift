package import Martlet
package import MartletJinja

/// Makes the documents that answer a `CompletionRequest`: one for the whole answer, or chunks of a stream.
package struct CompletionResponse: Sendable {
    private let kind: CompletionRequest.Kind
    private let id: String
    private let created: Int
    private let model: String
    private let llm: LLM

    /// - Parameter created: Unix seconds.
    package init(_ kind: CompletionRequest.Kind, model: ServedModel, created: Int) {
        self.kind = kind
        self.created = created
        self.model = model.name
        llm = model.llm
        id = (kind == .chat ? "chatcmpl-" : "cmpl-") + String.randomHex(count: 32)
    }

    // MARK: Whole answers

    package func document(_ completions: [Completion]) -> Value {
        let usage = Usage.sum(completions.map(\.usage))
        return envelope(
            object: kind == .chat ? "chat.completion" : "text_completion",
            choices: completions.enumerated().map { choice($0, $1) }, usage: usage)
    }

    private func choice(_ index: Int, _ completion: Completion) -> Value {
        let reason = Value.string(completion.finishReason.rawValue)
        switch kind {
        case .chat:
            let message: [(String, Value)] = [
                ("role", .string("assistant")), ("content", .string(completion.text)), ("refusal", .null),
            ]
            return .dictionary([
                ("index", .int(index)), ("message", .dictionary(message)),
                ("logprobs", logprobs(completion.logprobs, offset: 0)), ("finish_reason", reason),
            ])
        case .text:
            return .dictionary([
                ("index", .int(index)), ("text", .string(completion.text)),
                ("logprobs", logprobs(completion.logprobs, offset: 0)), ("finish_reason", reason),
            ])
        }
    }

    // MARK: Chunks

    /// The first chunk of a chat's choice: the role, and no text.
    package func roleChunk(_ index: Int) -> Value {
        chunk(
            .dictionary([
                ("index", .int(index)),
                ("delta", .dictionary([("role", .string("assistant")), ("content", .string(""))])),
                ("logprobs", .null), ("finish_reason", .null),
            ]))
    }

    /// A part of an answer; nil where it has neither text nor logprobs.
    ///
    /// - Parameter offset: Unicode scalars of the parts before, for the offsets of logprobs.
    package func textChunk(_ index: Int, _ output: RequestOutput, offset: Int) -> Value? {
        guard !output.text.isEmpty || output.logprobs?.isEmpty == false else { return nil }
        let text = Value.string(output.text)
        return chunk(
            .dictionary([
                ("index", .int(index)), kind == .chat ? ("delta", .dictionary([("content", text)])) : ("text", text),
                ("logprobs", logprobs(output.logprobs, offset: offset)), ("finish_reason", .null),
            ]))
    }

    /// The last chunk of a choice: why it ended, and no text.
    package func finishChunk(_ index: Int, _ reason: FinishReason) -> Value {
        chunk(
            .dictionary([
                ("index", .int(index)), kind == .chat ? ("delta", .dictionary([])) : ("text", .string("")),
                ("logprobs", .null), ("finish_reason", .string(reason.rawValue)),
            ]))
    }

    package func usageChunk(_ usage: Usage) -> Value {
        envelope(object: chunkObject, choices: [], usage: usage)
    }

    private var chunkObject: String { kind == .chat ? "chat.completion.chunk" : "text_completion" }

    private func chunk(_ choice: Value) -> Value { envelope(object: chunkObject, choices: [choice], usage: nil) }

    private func envelope(object: String, choices: [Value], usage: Usage?) -> Value {
        var members: [(String, Value)] = [
            ("id", .string(id)), ("object", .string(object)), ("created", .int(created)), ("model", .string(model)),
            ("choices", .list(choices)), ("system_fingerprint", .null),
        ]
        if let usage {
            let details = Value.dictionary([("cached_tokens", .int(usage.cachedPromptTokens))])
            let counts: [(String, Value)] = [
                ("prompt_tokens", .int(usage.promptTokens)), ("completion_tokens", .int(usage.generatedTokens)),
                ("total_tokens", .int(usage.totalTokens)), ("prompt_tokens_details", details),
            ]
            members.append(("usage", .dictionary(counts)))
        }
        return .dictionary(members)
    }

    // MARK: Logprobs

    private func logprobs(_ logprobs: [TokenLogprobs]?, offset: Int) -> Value {
        guard let logprobs else { return .null }
        switch kind {
        case .chat:
            let content = logprobs.map { token in
                let top = token.top.map { Value.dictionary(entry($0.tokenID, $0.logprob)) }
                return Value.dictionary(entry(token.tokenID, token.logprob) + [("top_logprobs", .list(top))])
            }
            return .dictionary([("content", .list(content)), ("refusal", .null)])
        case .text:
            var offset = offset
            let offsets = logprobs.map { token in
                defer { offset += text(token.tokenID).unicodeScalars.count }
                return Value.int(offset)
            }
            let top = logprobs.map { token in
                Value.dictionary(token.top.map { (text($0.tokenID), Value(finite: $0.logprob)) })
            }
            return .dictionary([
                ("tokens", .list(logprobs.map { .string(text($0.tokenID)) })),
                ("token_logprobs", .list(logprobs.map { Value(finite: $0.logprob) })),
                ("top_logprobs", .list(top)), ("text_offset", .list(offsets)),
            ])
        }
    }

    private func entry(_ token: Int, _ logprob: Float) -> [(String, Value)] {
        [
            ("token", .string(text(token))), ("logprob", Value(finite: logprob)),
            ("bytes", .list(llm.tokenBytes(token).map { .int(Int($0)) })),
        ]
    }

    /// Half a character is U+FFFD; `bytes` tell what it was.
    private func text(_ token: Int) -> String { String(decoding: llm.tokenBytes(token), as: UTF8.self) }
}

extension Value {
    /// JSON has no infinity: tokens that are impossible have -9999, as in OpenAI's API.
    fileprivate init(finite logprob: Float) { self.init(max(logprob, -9999)) }
}

extension String {
    /// Random digits, for ids.
    package static func randomHex(count: Int) -> String {
        String((0..<count).map { _ in "0123456789abcdef".randomElement() ?? "0" })
    }
}
