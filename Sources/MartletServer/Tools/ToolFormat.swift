import Martlet
import MartletGrammar

/// How a family of models writes calls of functions.
enum ToolFormat: Sendable, Hashable {
    /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, as often as needed, behind a text or alone: Hermes, Qwen and
    /// models that are told so.
    case hermes
    /// `{"name": …, "parameters": {…}}` as the whole answer, perhaps behind `<|python_tag|>`: Llama 3.
    case llama3
    /// `[TOOL_CALLS]` and a list of `{"name": …, "arguments": {…}}`, or a name and an object: Mistral.
    case mistral

    /// By what the chat template spells.
    init(_ llm: LLM) {
        if llm.templateSpells("[TOOL_CALLS]") {
            self = .mistral
        } else if llm.templateSpells("<|python_tag|>")
            || llm.templateSpells("\"parameters\": ") && llm.templateSpells("<|start_header_id|>")
        {
            self = .llama3
        } else {
            self = .hermes
        }
    }

    /// Whether calls begin with tokens that are no text otherwise.
    var needsSpecialTokens: Bool { self != .hermes }

    static let hermesStart = "<tool_call>"
    static let hermesEnd = "</tool_call>"
    static let pythonTag = "<|python_tag|>"
    static let mistralStart = "[TOOL_CALLS]"
    static let mistralArguments = "[ARGS]"
    static let mistralCallID = "[CALL_ID]"

    /// One call, or several.
    func calls(to functions: [ToolUse.Function], allowsSeveral: Bool) -> OutputStructure {
        let most = allowsSeveral ? ToolUse.maximumCalls : 1
        switch self {
        case .hermes:
            let call = OutputStructure.anyOf(
                functions.map { function in
                    .sequence([
                        .choice([Self.hermesStart + "\n{\"name\": \"\(function.name)\", \"arguments\": "]),
                        Self.arguments(function), .choice(["}\n" + Self.hermesEnd]),
                    ])
                })
            return .list(call, separator: "\n", atLeast: 1, atMost: most)
        case .llama3: return Self.object(functions, "parameters")
        case .mistral:
            let calls = OutputStructure.list(
                Self.object(functions, "arguments"), separator: ", ", atLeast: 1, atMost: most)
            return .sequence([.choice(["["]), calls, .choice(["]"])])
        }
    }

    /// A text, or calls whose arguments fit.
    func textOrCalls(to functions: [ToolUse.Function], allowsSeveral: Bool) -> OutputStructure? {
        let calls = calls(to: functions, allowsSeveral: allowsSeveral)
        switch self {
        case .hermes: return .sequence([.textWithout(Self.hermesStart), .anyOf([calls, .sequence([])])])
        case .llama3: return .anyOf([calls, .regex(#"[^{\s][\s\S]*"#)])
        // The token that calls begin with is no text.
        case .mistral: return nil
        }
    }

    private static func object(_ functions: [ToolUse.Function], _ key: String) -> OutputStructure {
        .anyOf(
            functions.map { function in
                .sequence([
                    .choice(["{\"name\": \"\(function.name)\", \"\(key)\": "]), arguments(function), .choice(["}"]),
                ])
            })
    }

    private static func arguments(_ function: ToolUse.Function) -> OutputStructure {
        function.parameters.map(OutputStructure.jsonSchema) ?? .json
    }
}
