/// Why the engine refused a request, or could not finish one.
public struct EngineError: Error, Sendable, Hashable, CustomStringConvertible {
    public enum Code: String, Sendable, Hashable {
        /// A field of the parameters or of the options is out of range; `parameter` names it.
        case invalidParameter
        /// The prompt is empty or has a token that the model does not know.
        case invalidPrompt
        /// The prompt leaves no room for a generated token in the model's context.
        case contextLengthExceeded
        /// The prompt leaves no room for a generated token in the KV cache.
        case cacheTooSmall
        /// As many requests wait as may wait. Trying again later can succeed.
        case queueFull
        /// The request waited longer than it may.
        case queueTimeout
        /// The request wasn't finished in time.
        case deadlineExceeded
        /// The engine takes no more requests, or stopped before this one was done.
        case shutDown
        /// The model's logits for this request are no numbers.
        case samplingFailed
        /// What the request asks for leaves no token to choose, or its structure becomes too complex to follow.
        case overconstrained
        /// The model has no chat template.
        case noChatTemplate
        /// The chat template is broken, or refuses the conversation.
        case invalidChatTemplate
        /// The step that this request was part of failed.
        case stepFailed
    }

    public let code: Code
    public let message: String
    /// The field that is wrong, as it is spelled in `SamplingParameters` or `EngineOptions`.
    public let parameter: String?

    package init(_ code: Code, _ message: String, parameter: String? = nil) {
        self.code = code
        self.message = message
        self.parameter = parameter
    }

    public var description: String { message }

    package static func invalid(_ parameter: String, _ reason: String) -> EngineError {
        EngineError(.invalidParameter, "\(parameter) \(reason)", parameter: parameter)
    }
}
