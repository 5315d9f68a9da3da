import Martlet
package import MartletJinja

/// An error as OpenAI's API reports it: `{"error": {"message", "type", "param", "code"}}` and an HTTP status.
package struct APIError: Error, Sendable, Hashable {
    package var status: Int
    package var message: String
    package var type = "invalid_request_error"
    /// The field that is wrong.
    package var parameter: String?
    package var code: String?
    /// The methods that the path has instead of the request's (`Allow` of a 405).
    package var allowedMethods: String?
    /// When the caller may try again (`Retry-After`), where that is known by now.
    package var retryAfterSeconds: Int?

    package init(_ status: Int, _ message: String, parameter: String? = nil, code: String? = nil) {
        self.status = status
        self.message = message
        self.parameter = parameter
        self.code = code
    }

    package var json: Value {
        let members: [(String, Value)] = [
            ("message", .string(message)), ("type", .string(type)), ("param", Value(parameter)), ("code", Value(code)),
        ]
        return .dictionary([("error", .dictionary(members))])
    }
}

extension APIError {
    /// A value of the wrong type.
    static func type(_ name: String, expected: String, got value: Value) -> APIError {
        APIError(
            400, "Invalid type for '\(name)': expected \(expected), but got \(value.jsonTypeName).", parameter: name,
            code: "invalid_type")
    }

    static func missing(_ name: String) -> APIError {
        APIError(400, "Missing required parameter: '\(name)'.", parameter: name, code: "missing_required_parameter")
    }

    static func value(_ name: String, _ reason: String) -> APIError {
        APIError(400, "Invalid value for '\(name)': \(reason).", parameter: name, code: "invalid_value")
    }

    /// What Martlet does not do (yet) is refused by name, never ignored.
    static func unsupported(_ name: String, _ reason: String = "is not supported") -> APIError {
        APIError(400, "Unsupported parameter: '\(name)' \(reason).", parameter: name, code: "unsupported_parameter")
    }

    static func modelNotFound(_ name: String) -> APIError {
        APIError(404, "The model '\(name)' does not exist.", parameter: "model", code: "model_not_found")
    }

    static func contextLengthExceeded(
        prompt: Int, completion: Int?, limit: Int, parameter: String
    ) -> APIError {
        var requested = "your \(parameter) resulted in \(prompt) tokens"
        if let completion {
            let total = prompt.addingReportingOverflow(completion)
            requested =
                "you requested \(total.overflow ? .max : total.partialValue) tokens (\(prompt) in the \(parameter), "
                + "\(completion) in the completion)"
        }
        return APIError(
            400,
            "This model's maximum context length is \(limit) tokens. However, \(requested). "
                + "Please reduce the length of the \(parameter)\(completion == nil ? "" : " or completion").",
            parameter: parameter, code: "context_length_exceeded")
    }

    /// What the engine says, in the names of the request. 5xx errors keep internals to themselves.
    ///
    /// - Parameter prompt: the field that held the prompt.
    init(_ error: EngineError, prompt: String) {
        switch error.code {
        case .queueFull:
            self.init(429, "Too many requests are waiting. Please try again later.", code: "rate_limit_exceeded")
            type = "rate_limit_error"
        case .shutDown:
            self.init(503, "The server takes no more requests.", code: "service_unavailable")
            type = "server_error"
        case .queueTimeout:
            self.init(503, "The request waited for its turn longer than it may.", code: "service_unavailable")
            type = "server_error"
        case .deadlineExceeded:
            self.init(408, "The request took longer than it may.", code: "timeout")
            type = "server_error"
        case .samplingFailed, .stepFailed:
            self.init(500, "The server had an error while processing the request.", code: "server_error")
            type = "server_error"
        case .overconstrained:
            self.init(400, "The request can't be fulfilled: \(error.message).", code: "invalid_value")
        case .contextLengthExceeded, .cacheTooSmall:
            self.init(400, error.message + ".", parameter: prompt, code: "context_length_exceeded")
        case .invalidParameter:
            let name = error.parameter.map(Self.wireName)
            let reason = error.parameter.map { error.message.dropFirst($0.count) } ?? error.message[...]
            // The only other field that reasons speak of.
            let text = reason.replacing("maxTokens", with: "max_tokens")
            self.init(400, "Invalid value: '\(name ?? "")'\(text).", parameter: name, code: "invalid_value")
        default:
            self.init(400, error.message + ".", parameter: prompt, code: "invalid_value")
        }
    }

    /// `maxTokens` as the API spells it: `max_tokens`.
    static func wireName(_ name: String) -> String {
        switch name {
        case "stopTokenIDs": "stop_token_ids"
        case "includeStopString": "include_stop_str_in_output"
        case "logprobs": "top_logprobs"
        case "allowedTokenIDs": "allowed_token_ids"
        default:
            name.unicodeScalars.reduce(into: "") { result, scalar in
                result += scalar.properties.isUppercase ? "_" + scalar.properties.lowercaseMapping : String(scalar)
            }
        }
    }
}
