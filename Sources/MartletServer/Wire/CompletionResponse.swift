package import Martlet
package import MartletJinja

/// Makes the documents that answer a `CompletionRequest`: one for the whole answer, or chunks of a stream.
package struct CompletionResponse: Dialect {
    private let request: CompletionRequest
    private let id: String
    private let created: Int
    private let model: String
    private let llm: LLM

    /// - Parameter created: Unix seconds.
    package init(_ request: CompletionRequest, model: ServedModel, created: Int) {
        self.request = request
        self.created = created
        self.model = model.name
        llm = model.llm
        id = (request.kind == .chat ? "chatcmpl-" : "cmpl-") + String.randomHex(count: 32)
    }

    func events() -> any AnswerEvents { ServerSentEvents(self, request) }

    private var kind: CompletionRequest.Kind { request.kind }

    // MARK: Whole answers

    package func document(_ completions: [Completion]) -> Value {
        var completions = completions
        if request.echo.isAll {
            for index in completions.indices { completions[index].removeAnswer() }
        }
        let usage = Usage.sum(completions, choices: request.parameters.n)
        return envelope(
            object: kind == .chat ? "chat.completion" : "text_completion",
            choices: completions.enumerated().map { choice($0, $1) }, usage: usage)
    }

    private func choice(_ index: Int, _ completion: Completion) -> Value {
        var members: [(String, Value)] = [("index", .int(index))]
        var logprobs = logprobs(completion.logprobs, offset: 0)
        var reason = completion.finishReason.rawValue
        switch kind {
        case .chat:
            var message: [(String, Value)] = [("role", .string("assistant"))]
            let (text, calls) = request.tools?.read(completion.text) ?? (completion.text, [])
            message.append(("content", text.isEmpty && !calls.isEmpty ? .null : .string(text)))
            message.append(("refusal", .null))
            if !calls.isEmpty {
                message.append(("tool_calls", .list(calls.map(\.json))))
                if reason == FinishReason.stop.rawValue { reason = Self.callsReason }
            }
            members.append(("message", .dictionary(message)))
        case .text:
            members.append(("text", .string(request.echoText(index) + completion.text)))
            if request.echo.hasLogprobs {
                logprobs = echoLogprobs(index, completion.promptLogprobs, completion.logprobs ?? [])
            }
        }
        members.append(("logprobs", logprobs))
        members.append(("finish_reason", .string(reason)))
        if !request.echo.hasLogprobs, let prompt = completion.promptLogprobs {
            members.append(("prompt_logprobs", promptLogprobs(prompt)))
        }
        return .dictionary(members)
    }

    /// Why a choice ended that calls functions.
    static let callsReason = "tool_calls"

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

    /// The prompt, as the first part of a choice that repeats it; nil for others.
    ///
    /// - Parameter output: the choice's first part.
    package func echoChunk(_ index: Int, _ output: RequestOutput) -> Value? {
        guard kind == .text, !request.echo.texts.isEmpty else { return nil }
        return chunk(
            .dictionary([
                ("index", .int(index)), ("text", .string(request.echoText(index))),
                (
                    "logprobs",
                    request.echo.hasLogprobs ? echoLogprobs(index, output.promptLogprobs, []) : .null
                ),
                ("finish_reason", .null),
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

    /// What stands before and behind the text in the JSON of a chunk without log-probabilities: all parts of a choice but
    /// their texts are equal, and a stream has one for every token.
    func textFrame(_ index: Int) -> (before: String, after: String) {
        let empty = Value.string("")
        let json = chunk(
            .dictionary([
                ("index", .int(index)), kind == .chat ? ("delta", .dictionary([("content", empty)])) : ("text", empty),
                ("logprobs", .null), ("finish_reason", .null),
            ])
        ).line
        // Quotes within strings are escaped, so this is the member, and nothing else.
        let member = kind == .chat ? #""content":"# : #""text":"#
        guard let range = json.ranges(of: member + #""""#).last else {
            preconditionFailure("a chunk has a text")
        }
        return (String(json[..<range.lowerBound]) + member, String(json[range.upperBound...]))
    }

    /// A part of a chat's choice that is no plain text.
    ///
    /// - Parameter output: whose log-probabilities the chunk has.
    func deltaChunk(_ index: Int, _ delta: [(String, Value)], _ output: RequestOutput?) -> Value {
        chunk(
            .dictionary([
                ("index", .int(index)), ("delta", .dictionary(delta)),
                ("logprobs", logprobs(output?.logprobs, offset: 0)), ("finish_reason", .null),
            ]))
    }

    /// The last chunk of a choice: why it ended, and no text.
    package func finishChunk(_ index: Int, _ reason: String) -> Value {
        chunk(
            .dictionary([
                ("index", .int(index)), kind == .chat ? ("delta", .dictionary([])) : ("text", .string("")),
                ("logprobs", .null), ("finish_reason", .string(reason)),
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
        guard kind == .chat else { return textLogprobs(logprobs, offset: offset) }
        let content = logprobs.map { token in
            let top = token.top.map { Value.dictionary(entry($0.tokenID, $0.logprob)) }
            return Value.dictionary(entry(token.tokenID, token.logprob) + [("top_logprobs", .list(top))])
        }
        return .dictionary([("content", .list(content)), ("refusal", .null)])
    }

    /// - Parameter first: a token before them of whose probability nothing is known.
    private func textLogprobs(_ logprobs: [TokenLogprobs], offset: Int, first: Int? = nil) -> Value {
        var tokens = logprobs.map { Value.string(text($0.tokenID)) }
        var values = logprobs.map { Value(finite: $0.logprob) }
        var tops = logprobs.map { token in
            Value.dictionary(token.top.map { (text($0.tokenID), Value(finite: $0.logprob)) })
        }
        if let first {
            tokens.insert(.string(text(first)), at: 0)
            values.insert(.null, at: 0)
            tops.insert(.null, at: 0)
        }
        var offset = offset
        let offsets = ((first.map { [$0] } ?? []) + logprobs.map(\.tokenID)).map { token in
            defer { offset += width(token) }
            return Value.int(max(0, offset))
        }
        return .dictionary([
            ("tokens", .list(tokens)), ("token_logprobs", .list(values)), ("top_logprobs", .list(tops)),
            ("text_offset", .list(offsets)),
        ])
    }

    /// The prompt's tokens, then the answer's.
    ///
    /// - Parameter prompt: nil but for the first answer to a prompt.
    private func echoLogprobs(_ index: Int, _ prompt: [TokenLogprobs]?, _ answer: [TokenLogprobs]) -> Value {
        let end = request.echoText(index).unicodeScalars.count
        guard let prompt else { return textLogprobs(answer, offset: end) }
        let first = request.prompts[index / request.parameters.n].first
        // A space that the first token has and the text has not (SentencePiece) lies before it.
        return textLogprobs(
            prompt + answer, offset: end - (first.map(width) ?? 0) - width(prompt), first: first)
    }

    func width(_ tokens: [TokenLogprobs]) -> Int { tokens.reduce(0) { $0 + width($1.tokenID) } }

    /// How many Unicode scalars a token adds to a text. Half of one counts where it begins.
    private func width(_ token: Int) -> Int {
        if request.parameters.skipSpecialTokens, llm.isSpecial(token) { return 0 }
        return llm.tokenBytes(token).count { $0 & 0xC0 != 0x80 }
    }

    /// vLLM's: for each token of the prompt, `{id: {"logprob", "rank", "decoded_token"}}` of the most likely tokens and of
    /// itself.
    private func promptLogprobs(_ prompt: [TokenLogprobs]) -> Value {
        .list(
            [.null]
                + prompt.map { token in
                    var entries = token.top.enumerated().map { ($1.tokenID, $1.logprob, Value.int($0 + 1)) }
                    if !token.top.contains(where: { $0.tokenID == token.tokenID }) {
                        entries.append((token.tokenID, token.logprob, .null))
                    }
                    return .dictionary(
                        entries.map { id, logprob, rank in
                            let members: [(String, Value)] = [
                                ("logprob", Value(finite: logprob)), ("rank", rank),
                                ("decoded_token", .string(text(id))),
                            ]
                            return (String(id), .dictionary(members))
                        })
                })
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

extension Completion {
    /// Leaves only what is known of the prompt.
    fileprivate mutating func removeAnswer() {
        text = ""
        tokenIDs = []
        logprobs = logprobs.map { _ in [] }
        finishReason = .length
        usage.generatedTokens = 0
    }
}

extension Usage {
    /// Of several answers to each of some prompts. A prompt counts once, as in OpenAI's API.
    static func sum(_ completions: [Completion], choices: Int) -> Usage {
        sum(completions.map(\.usage), choices: choices)
    }

    static func sum(_ usages: [Usage], choices: Int) -> Usage {
        var total = Usage.sum(usages)
        let first = Usage.sum(usages.enumerated().filter { $0.offset % choices == 0 }.map(\.element))
        total.promptTokens = first.promptTokens
        total.cachedPromptTokens = first.cachedPromptTokens
        return total
    }
}

extension String {
    /// Random digits, for ids.
    package static func randomHex(count: Int) -> String {
        String((0..<count).map { _ in "0123456789abcdef".randomElement() ?? "0" })
    }
}
