import MartletJinja

/// Requests of Ollama's API, as those of OpenAI's.
enum OllamaRequest {
    enum Route: Sendable { case chat, generate }

    /// What a request without a prompt is there for: to load the model, or to unload it.
    ///
    /// - Returns: nil for a request that wants an answer.
    static func loadReason(_ route: Route, _ original: Value) -> String? {
        let hasPrompt =
            switch route {
            case .chat: original["messages"]?.isPresent == true
            case .generate: original["prompt"]?.asString?.isEmpty == false || original["images"]?.isPresent == true
            }
        if hasPrompt { return nil }
        let time = original["keep_alive"]
        return time?.integer == 0 || ["0", "0s"].contains(time?.asString) ? "unload" : "load"
    }

    /// Where a request has no prompt (`loadReason`) its completion is there to be checked only.
    ///
    /// - Parameter served: the names that the model is served by.
    /// - Throws: 400 for what is no such request.
    static func completion(
        _ route: Route, _ original: Value, servedAs served: [String]
    ) throws(APIError) -> Translation {
        let hasPrompt = Self.loadReason(route, original) == nil
        let kind: CompletionRequest.Kind
        var names = FieldNames(fields: ["guided_json": "format", "response_format": "format"])
        for (name, other) in Self.optionNames { names.fields[other] = "options.\(name)" }
        var fields = try RequestFields(original)
        var result: [(String, Value)] = []
        if let model = fields.take("model") {
            let name = model.asString.map { Value.string(Self.withoutTag($0, servedAs: served)) }
            result.append(("model", name ?? model))
        }
        for name in ["suffix", "template", "context"] {
            if let value = fields.take(name), value.isPresent, value.asString != "" { throw .unsupported(name) }
        }
        if let think = fields.take("think") {
            if case .bool(false) = think {} else { throw .unsupported("think") }
        }
        // The model stays as long as the server does.
        _ = fields.take("keep_alive")
        result.append(("stream", .bool(try fields.bool("stream") ?? true)))
        let system = try fields.string("system")
        switch route {
        case .chat:
            kind = .chat
            var messages = fields.take("messages") ?? .null
            // A conversation has to have something in it.
            if !hasPrompt { messages = .list([.dictionary([("role", .string("user")), ("content", .string(""))])]) }
            result.append(("messages", try Self.messages(messages)))
        case .generate:
            let isRaw = try fields.bool("raw") ?? false
            // Models without a chat template can be loaded, too.
            kind = isRaw || !hasPrompt ? .text : .chat
            let prompt = try fields.string("prompt") ?? ""
            let images = fields.take("images")
            if isRaw, images?.isPresent == true || system?.isEmpty == false {
                throw .value("raw", "goes with a prompt only")
            }
            if kind == .text {
                // A prompt has to have something in it, too.
                result.append(("prompt", .string(hasPrompt ? prompt : ".")))
            } else {
                var messages: [Value] = []
                if let system, !system.isEmpty {
                    messages.append(.dictionary([("role", .string("system")), ("content", .string(system))]))
                }
                var message: [(String, Value)] = [("role", .string("user")), ("content", .string(prompt))]
                if let images { message.append(("images", images)) }
                messages.append(.dictionary(message))
                result.append(("messages", try Self.messages(.list(messages))))
                names.fields["messages"] = "prompt"
                names.messages = messages.count == 2 ? ["system", "prompt"] : ["prompt"]
            }
        }
        if let format = fields.take("format"), format.asString != "" {
            if format.asString == "json" {
                result.append(("response_format", .dictionary([("type", .string("json_object"))])))
            } else {
                result.append(("guided_json", format))
            }
        }
        if let tools = fields.take("tools") { result.append(("tools", tools)) }
        if let options = fields.take("options") { result += try Self.options(options) }
        result += try fields.untranslated()
        return Translation(kind: kind, document: .dictionary(result), names: names, textTokens: nil)
    }

    /// The names of options, and those that completions have for them.
    private static let optionNames = [
        "temperature": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p", "seed": "seed",
        "stop": "stop", "repeat_penalty": "repetition_penalty", "presence_penalty": "presence_penalty",
        "frequency_penalty": "frequency_penalty", "typical_p": "typical_p", "num_predict": "max_tokens",
    ]

    /// How a model is loaded: settings of the server, not of a request.
    static let optionsOfServer: Set = [
        "embedding_only", "f16_kv", "logits_all", "low_vram", "main_gpu", "num_batch", "num_ctx", "num_gpu", "num_keep",
        "num_thread", "numa",
        "use_mlock", "use_mmap", "vocab_only",
    ]

    /// Ollama's clients add ":latest" where a name has no tag. It stays where the model is served by the whole name.
    static func withoutTag(_ name: String, servedAs served: [String]) -> String {
        guard name.hasSuffix(":latest"), !served.contains(name) else { return name }
        return String(name.dropLast(7))
    }

    /// Images stand beside the text, arguments of calls are objects, and a result belongs to the call before it: calls have no
    /// ids here, but some templates (Mistral's) want one of nine letters or digits.
    private static func messages(_ value: Value) throws(APIError) -> Value {
        guard let elements = value.array else { throw .type("messages", expected: "an array of objects", got: value) }
        var messages: [Value] = []
        var openCalls: [Value] = []
        var callCount = 0
        for element in elements {
            guard case .dictionary(let object) = element else {
                messages.append(element)
                continue
            }
            var members: [(String, Value)] = []
            for (key, value) in zip(object.keys, object.values) where !["images", "tool_calls"].contains(key.asString) {
                members.append((key.asString ?? "", value))
            }
            if let calls = object["tool_calls"] {
                let named = calls.array?.map { call -> Value in
                    guard case .dictionary(var call) = call else { return call }
                    callCount += 1
                    if call["id"]?.isNull != false {
                        let digits = String(callCount)
                        let zeros = String(repeating: "0", count: max(0, 9 - digits.count))
                        call.set(.string("id"), .string(zeros + digits))
                    }
                    openCalls.append(call["id"] ?? .null)
                    return .dictionary(call)
                }
                members.append(("tool_calls", named.map(Value.list) ?? calls))
            }
            if object["role"]?.asString == "tool", object["tool_call_id"]?.isNull != false, !openCalls.isEmpty {
                members.removeAll { $0.0 == "tool_call_id" }
                members.append(("tool_call_id", openCalls.removeFirst()))
            }
            if let images = object["images"], !images.isNull, images.array == nil {
                throw .type("images", expected: "an array of strings", got: images)
            }
            if let images = object["images"]?.array, !images.isEmpty {
                var parts: [Value] = [
                    .dictionary([("type", .string("text")), ("text", object["content"] ?? .string(""))])
                ]
                for image in images {
                    guard let data = image.asString else {
                        throw .type("images", expected: "an array of strings", got: image)
                    }
                    let url = Value.string("data:image/png;base64," + data)
                    parts.append(
                        .dictionary([("type", .string("image_url")), ("image_url", .dictionary([("url", url)]))]))
                }
                members.removeAll { $0.0 == "content" }
                members.append(("content", .list(parts)))
            }
            messages.append(.dictionary(members))
        }
        return .list(messages)
    }

    private static func options(_ value: Value) throws(APIError) -> [(String, Value)] {
        guard case .dictionary(let options) = value else { throw .type("options", expected: "an object", got: value) }
        var result: [(String, Value)] = []
        for (key, value) in zip(options.keys, options.values) where !value.isNull {
            let name = key.asString ?? ""
            if name == "repeat_last_n" { continue }
            if optionsOfServer.contains(name) { continue }
            guard let other = optionNames[name] else { throw .unsupported("options.\(name)") }
            // Without a limit.
            if name == "num_predict", let count = value.integer, count < 0 { continue }
            result.append((other, value))
        }
        // Behind the penalties that it may switch off: of two values the last one counts.
        if let value = options["repeat_last_n"], !value.isNull { result += window(value) }
        return result
    }

    /// How many of the last tokens are penalized where they come again. Here these are all (-1), or none.
    private static func window(_ value: Value) -> [(String, Value)] {
        switch value.integer {
        case -1: []
        case 0: [("repetition_penalty", .int(1)), ("presence_penalty", .int(0)), ("frequency_penalty", .int(0))]
        // Clients send Ollama's default, 64. It goes on as a field that nobody knows, so that the caller is told.
        default: [("options.repeat_last_n", value)]
        }
    }
}
