import Martlet
import MartletJinja

/// How an API says what a chat or a text completion gave. All of them are made of the same requests.
protocol Dialect: Sendable {
    /// The whole answer.
    func document(_ completions: [Completion]) -> Value
    /// Writes the answer as it comes.
    func events() -> any AnswerEvents
}

/// An answer as it comes, written for one connection.
protocol AnswerEvents: Sendable {
    /// The media type.
    var contentType: String { get }
    mutating func text(for event: CompletionStream.Event) -> String
    /// What comes behind the last choice.
    mutating func end() -> String
    /// What comes instead when the answer can't be finished.
    func text(_ error: APIError) -> String
}

extension AnswerEvents {
    var contentType: String { "text/event-stream; charset=utf-8" }
}

/// Whose errors a path answers with.
enum ErrorStyle: Sendable {
    case openAI, anthropic, ollama

    init(path: String) {
        self = path.hasPrefix("/v1/messages") ? .anthropic : path.hasPrefix("/api/") ? .ollama : .openAI
    }

    func document(_ error: APIError) -> Value {
        switch self {
        case .openAI: return error.json
        case .ollama: return .dictionary([("error", .string(error.message))])
        case .anthropic:
            let type =
                switch error.status {
                case 401: "authentication_error"
                case 403: "permission_error"
                case 404: "not_found_error"
                case 413: "request_too_large"
                case 429: "rate_limit_error"
                case 503, 529: "overloaded_error"
                case 408, 500...: "api_error"
                default: "invalid_request_error"
                }
            let body: [(String, Value)] = [("type", .string(type)), ("message", .string(error.message))]
            return .dictionary([("type", .string("error")), ("error", .dictionary(body))])
        }
    }

    /// Anthropic's API has a status of its own for a server that takes no more.
    func status(_ error: APIError) -> Int { self == .anthropic && error.status == 503 ? 529 : error.status }
}
