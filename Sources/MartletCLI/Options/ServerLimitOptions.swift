import ArgumentParser
import Martlet
import MartletServer

/// `ServerLimits` as options of `serve`.
struct ServerLimitOptions: ParsableArguments {
    @Option(help: "MiB of a body.")
    var maxBody = ServerLimits().bodyBytes >> 20
    @Option(help: "KiB of all headers together; half of that for one.")
    var maxHeader = ServerLimits().headerBytes >> 10
    @Option(help: "Headers.")
    var maxHeaders = ServerLimits().headerCount
    @Option(help: "Arrays and objects inside each other.")
    var maxJsonDepth = ServerLimits().jsonDepth
    @Option(help: "Values in a body: each takes far more memory than its text.")
    var maxJsonValues = ServerLimits().jsonValues
    @Option(help: "Answers, of all prompts together: n and best_of.")
    var maxChoices = ServerLimits().choices
    @Option(help: "Prompts of a text completion.")
    var maxPrompts = ServerLimits().prompts
    @Option(help: "Messages of a conversation.")
    var maxMessages = ServerLimits().messages
    @Option(help: "Alternatives of a token: logprobs, top_logprobs and prompt_logprobs.")
    var maxLogprobs = ServerLimits().logprobs
    @Option(help: "Stop strings.")
    var maxStopStrings = ServerLimits().stopStrings
    @Option(help: "Functions.")
    var maxTools = ServerLimits().tools
    @Option(help: "Bytes of a JSON Schema, a regular expression, all choices, or a grammar.")
    var maxStructureBytes = ServerLimits().structureBytes
    @Option(help: "Images.")
    var maxImages = ServerLimits().images
    @Option(help: "Pixels of an image.")
    var maxImagePixels = LoadOptions().maxImagePixels
    @Option(help: "Texts of a request for embeddings.")
    var maxEmbeddingInputs = ServerLimits().embeddingInputs

    func validate() throws {
        let defaults = ServerLimits()
        for (name, value, range) in [
            ("max-body", maxBody, 1...1024), ("max-header", maxHeader, 1...1024),
            ("max-headers", maxHeaders, 8...10_000),
            ("max-json-depth", maxJsonDepth, 4...defaults.jsonDepth),
            ("max-json-values", maxJsonValues, 1000...1_000_000_000), ("max-choices", maxChoices, 1...defaults.choices),
            ("max-prompts", maxPrompts, 1...10_000), ("max-messages", maxMessages, 1...1_000_000),
            ("max-logprobs", maxLogprobs, 0...defaults.logprobs),
            ("max-stop-strings", maxStopStrings, 0...defaults.stopStrings), ("max-tools", maxTools, 0...10_000),
            ("max-structure-bytes", maxStructureBytes, 0...defaults.structureBytes),
            ("max-images", maxImages, 0...1000),
            ("max-image-pixels", maxImagePixels, 1...1 << 30),
            ("max-embedding-inputs", maxEmbeddingInputs, 1...100_000),
        ] where !range.contains(value) {
            throw ValidationError("--\(name) must be \(range.lowerBound) to \(range.upperBound)")
        }
    }

    var limits: ServerLimits {
        var limits = ServerLimits()
        limits.bodyBytes = maxBody << 20
        limits.headerBytes = maxHeader << 10
        limits.headerCount = maxHeaders
        limits.jsonDepth = maxJsonDepth
        limits.jsonValues = maxJsonValues
        limits.choices = maxChoices
        limits.prompts = maxPrompts
        limits.messages = maxMessages
        limits.logprobs = maxLogprobs
        limits.stopStrings = maxStopStrings
        limits.tools = maxTools
        limits.structureBytes = maxStructureBytes
        limits.images = maxImages
        limits.embeddingInputs = maxEmbeddingInputs
        return limits
    }
}
