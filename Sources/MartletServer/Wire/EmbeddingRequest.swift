import Foundation
import Martlet
import MartletJinja

/// A request for the vectors of texts, checked and tokenized.
struct EmbeddingRequest: Sendable {
    enum Route: Sendable {
        /// OpenAI's `/v1/embeddings`.
        case openAI
        /// Ollama's `/api/embed`.
        case ollama
        /// Ollama's older `/api/embeddings`: one text.
        case ollamaOne

        /// The field that holds the texts.
        var inputField: String { self == .ollamaOne ? "prompt" : "input" }
    }

    let route: Route
    let inputs: [[Int]]
    let isBase64: Bool
    var options: RequestOptions
    let unknownFields: [String]

    /// - Throws: `APIError`, for what the caller did wrong.
    init(_ route: Route, _ document: Value, for model: ServedModel) throws(APIError) {
        self.route = route
        var fields = try RequestFields(document)
        if let name = try fields.string("model") {
            let known = route == .openAI ? name : OllamaRequest.withoutTag(name, servedAs: model.names)
            guard model.names.contains(known) else { throw .modelNotFound(name) }
        }
        let llm = model.llm
        // Ollama's routes shorten texts unless they are told not to; OpenAI's never does.
        var longest: Int?
        var addsSpecialTokens = true
        switch route {
        case .openAI:
            addsSpecialTokens = try fields.bool("add_special_tokens") ?? true
            switch try fields.string("encoding_format") {
            case nil, "float": isBase64 = false
            case "base64": isBase64 = true
            case .some: throw .value("encoding_format", "must be 'float' or 'base64'")
            }
            options = try fields.requestOptions()
        case .ollama, .ollamaOne:
            isBase64 = false
            options = RequestOptions()
            if try fields.bool("truncate") ?? true { longest = llm.contextLength }
            // They are about sampling and memory.
            for name in ["options", "keep_alive"] { _ = fields.take(name) }
        }
        if let dimensions = try fields.integer("dimensions"), dimensions != llm.embeddingWidth {
            throw .unsupported(
                "dimensions",
                "must be \(llm.embeddingWidth): the model was not trained for shorter vectors (Matryoshka)")
        }
        var inputs: [[Int]] = []
        for text in try fields.texts(route.inputField, limit: model.limits.embeddingInputs) {
            var tokens =
                switch text {
                case .text(let text): llm.tokenize(text, addSpecialTokens: addsSpecialTokens)
                case .tokens(let tokens): tokens
                }
            if let longest { tokens = Array(tokens.prefix(longest)) }
            let name = route.inputField
            guard !tokens.isEmpty else { throw .value(name, "must not have an empty text") }
            guard tokens.count <= llm.contextLength else {
                throw .contextLengthExceeded(
                    prompt: tokens.count, completion: nil, limit: llm.contextLength, parameter: name)
            }
            for token in tokens where !(0..<llm.vocabularySize).contains(token) {
                throw .value(name, "has token \(token); the model has tokens 0 to \(llm.vocabularySize - 1)")
            }
            inputs.append(tokens)
        }
        self.inputs = inputs
        for name in ["truncate_prompt_tokens", "messages", "normalize", "pooling"] where fields.take(name) != nil {
            throw .unsupported(name)
        }
        // A label for the caller's own books.
        _ = fields.take("user")
        unknownFields = fields.remaining
    }

    /// The response's JSON. It is written here, number by number: it may have megabytes of them.
    func json(_ embeddings: [Embedding], model: String, seconds: Double) throws -> String {
        let name = try Value.string(model).json()
        let tokens = embeddings.reduce(0) { $0 + $1.promptTokens }
        var text: String
        switch route {
        case .openAI:
            text = "{\"object\":\"list\",\"data\":["
            for (index, embedding) in embeddings.enumerated() {
                text += index == 0 ? "" : ","
                text += "{\"object\":\"embedding\",\"index\":\(index),\"embedding\":"
                if isBase64 {
                    text += "\"" + Self.base64(embedding.vector) + "\"}"
                } else {
                    Self.write(embedding.vector, to: &text)
                    text += "}"
                }
            }
            text += "],\"model\":\(name),\"usage\":{\"prompt_tokens\":\(tokens),\"total_tokens\":\(tokens)}}"
        case .ollama:
            text = "{\"model\":\(name),\"embeddings\":["
            for (index, embedding) in embeddings.enumerated() {
                text += index == 0 ? "" : ","
                Self.write(embedding.vector, to: &text)
            }
            text += "],\"total_duration\":\(Int(seconds * 1e9)),\"load_duration\":0,\"prompt_eval_count\":\(tokens)}"
        case .ollamaOne:
            text = "{\"embedding\":"
            Self.write(embeddings.first?.vector ?? [], to: &text)
            text += "}"
        }
        return text
    }

    /// The shortest digits that give the same float32 again.
    private static func write(_ vector: [Float], to text: inout String) {
        text += "["
        for (index, value) in vector.enumerated() {
            if index > 0 { text += "," }
            value.write(to: &text)
        }
        text += "]"
    }

    /// Float32, little-endian.
    private static func base64(_ vector: [Float]) -> String {
        var bytes = Data(capacity: vector.count * 4)
        for value in vector { withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) } }
        return bytes.base64EncodedString()
    }
}
