import Martlet

/// The sampling parameters that `/set parameter` knows.
enum ChatParameter {
    static let names = [
        "temperature", "top_p", "top_k", "min_p", "typical_p", "xtc_probability", "xtc_threshold", "repetition_penalty",
        "presence_penalty", "frequency_penalty", "seed", "max_tokens", "min_tokens", "stop", "bad_words",
    ]

    /// - Throws: `CommandFailure` for an unknown name or a value of the wrong kind; `EngineError` for one out of range.
    static func set(_ name: String, _ values: [String], in parameters: inout SamplingParameters) throws {
        var changed = parameters
        switch name {
        case "temperature": changed.temperature = try number(name, values)
        case "top_p": changed.topP = try number(name, values)
        case "top_k": changed.topK = try number(name, values)
        case "min_p": changed.minP = try number(name, values)
        case "typical_p": changed.typicalP = try number(name, values)
        case "xtc_probability": changed.xtcProbability = try number(name, values)
        case "xtc_threshold": changed.xtcThreshold = try number(name, values)
        case "repetition_penalty", "repeat_penalty": changed.repetitionPenalty = try number(name, values)
        case "presence_penalty": changed.presencePenalty = try number(name, values)
        case "frequency_penalty": changed.frequencyPenalty = try number(name, values)
        case "seed": changed.seed = try number(name, values)
        case "max_tokens", "num_predict": changed.maxTokens = try number(name, values)
        case "min_tokens": changed.minTokens = try number(name, values)
        case "bad_words": changed.badWords = values
        case "stop": changed.stop = values
        default: throw CommandFailure("unknown parameter '\(name)'; known are \(names.joined(separator: ", "))")
        }
        try changed.validate()
        parameters = changed
    }

    private static func number<Number: LosslessStringConvertible>(_ name: String, _ values: [String]) throws -> Number {
        guard values.count == 1, let number = Number(values[0]) else {
            throw CommandFailure("\(name) takes a number, not '\(values.joined(separator: " "))'")
        }
        return number
    }

    /// What was set, for the person who did.
    static func confirmation(_ name: String, _ values: [String]) -> String {
        let isText = ["stop", "bad_words"].contains(name)
        return "\(name) is \(isText ? quoted(values) : values.joined(separator: " ")) now."
    }

    /// A line for each parameter.
    static func text(_ parameters: SamplingParameters) -> String {
        let values = [
            "\(parameters.temperature)", "\(parameters.topP)", "\(parameters.topK)", "\(parameters.minP)",
            "\(parameters.typicalP)", "\(parameters.xtcProbability)", "\(parameters.xtcThreshold)",
            "\(parameters.repetitionPenalty)", "\(parameters.presencePenalty)", "\(parameters.frequencyPenalty)",
            parameters.seed.map { "\($0)" } ?? "random", parameters.maxTokens.map { "\($0)" } ?? "no limit",
            "\(parameters.minTokens)", quoted(parameters.stop), quoted(parameters.badWords),
        ]
        return zip(names, values).map { name, value in
            name + String(repeating: " ", count: 20 - name.count) + value + "\n"
        }.joined()
    }

    /// As `/set parameter` takes them.
    static func quoted(_ strings: [String]) -> String {
        strings.map { text in
            let escaped = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
            return "\"\(escaped)\""
        }.joined(separator: " ")
    }
}
