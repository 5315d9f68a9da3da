package import MartletJinja

/// A line of OpenAI's batch format: `{"custom_id", "method", "url", "body"}`.
package struct BatchLine: Sendable {
    package let customID: String
    package let kind: CompletionRequest.Kind
    package let body: Value

    /// - Throws: why the line is no request. What is wrong inside of the body shows only when it is run.
    package init(_ bytes: [UInt8]) throws(BatchLineError) {
        let document: Value
        do {
            document = try Value(strictJSON: bytes)
        } catch {
            throw BatchLineError(code: "invalid_json_line", message: error.message)
        }
        let customID = document["custom_id"]?.asString ?? ""
        func failure(_ message: String) -> BatchLineError {
            BatchLineError(code: "invalid_request", message: message, customID: customID.isEmpty ? nil : customID)
        }
        guard case .dictionary = document else { throw failure("the line is not a JSON object") }
        guard !customID.isEmpty else { throw failure("'custom_id' must be a string that is not empty") }
        guard document["method"]?.asString == "POST" else { throw failure("'method' must be \"POST\"") }
        switch document["url"]?.asString {
        case "/v1/chat/completions": kind = .chat
        case "/v1/completions": kind = .text
        default: throw failure("'url' must be \"/v1/chat/completions\" or \"/v1/completions\"")
        }
        guard let body = document["body"], case .dictionary = body else { throw failure("'body' must be an object") }
        self.customID = customID
        self.body = body
    }
}

/// Why a line of a batch is no request.
package struct BatchLineError: Error, Sendable, Hashable {
    package var code: String
    package var message: String
    package var customID: String?

    package init(code: String, message: String, customID: String? = nil) {
        self.code = code
        self.message = message
        self.customID = customID
    }
}

/// A line of the output: `{"id", "custom_id", "response": {"status_code", "request_id", "body"}, "error"}`.
package struct BatchResult: Sendable {
    package enum Outcome: Sendable {
        case answered(Value)
        /// The request was refused or failed: an HTTP error.
        case refused(APIError)
        /// There was no request.
        case unreadable(BatchLineError)
    }

    /// Names the line within its file.
    package let id: String
    package let customID: String?
    package let requestID: String
    package let outcome: Outcome

    package init(
        line: Int, customID: String?, requestID: String = "req_" + .randomHex(count: 24), _ outcome: Outcome
    ) {
        id = Self.id(line: line)
        self.customID = customID
        self.requestID = requestID
        self.outcome = outcome
    }

    package static func id(line: Int) -> String { "batch_req_\(line)" }

    package var json: Value {
        var response = Value.null
        var failure = Value.null
        switch outcome {
        case .answered(let body): response = self.response(200, body)
        case .refused(let error): response = self.response(error.status, error.json)
        case .unreadable(let error):
            failure = .dictionary([("code", .string(error.code)), ("message", .string(error.message))])
        }
        return .dictionary([
            ("id", .string(id)), ("custom_id", Value(customID)), ("response", response), ("error", failure),
        ])
    }

    private func response(_ status: Int, _ body: Value) -> Value {
        .dictionary([
            ("status_code", .int(status)), ("request_id", .string(requestID)), ("body", body),
        ])
    }
}
