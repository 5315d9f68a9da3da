/// A form that an answer is held to: of all tokens only those may be chosen that lead to a text of this form, and the answer
/// ends where the text is complete.
///
///     var parameters = SamplingParameters()
///     parameters.structure = .jsonSchema(#"{"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}"#)
public indirect enum OutputStructure: Sendable, Hashable {
    /// A JSON object, whatever is in it.
    case json
    /// JSON that satisfies a JSON Schema. Keywords that can't be guaranteed are refused by name.
    case jsonSchema(String)
    /// A text that a regular expression (ECMA-262's, without assertions and backreferences) matches as a whole.
    case regex(String)
    /// One of these texts.
    case choice([String])
    /// A text of a context-free grammar in the notation of llama.cpp's GBNF, beginning with its rule `root`.
    case grammar(String)

    /// Any text that does not have this one in it.
    case textWithout(String)
    /// All of them, one after the other.
    case sequence([OutputStructure])
    /// Any one of them.
    case anyOf([OutputStructure])
    /// Repetitions, with a text between two.
    case list(OutputStructure, separator: String, atLeast: Int, atMost: Int?)
}

extension OutputStructure {
    /// Byte by byte: texts that Swift calls equal because they look alike ("é" and "e" + accent) are different forms.
    public static func == (left: Self, right: Self) -> Bool {
        func same(_ left: String, _ right: String) -> Bool { left.utf8.elementsEqual(right.utf8) }
        return switch (left, right) {
        case (.json, .json): true
        case (.jsonSchema(let a), .jsonSchema(let b)), (.regex(let a), .regex(let b)),
            (.grammar(let a), .grammar(let b)),
            (.textWithout(let a), .textWithout(let b)):
            same(a, b)
        case (.choice(let a), .choice(let b)): a.elementsEqual(b, by: same)
        case (.sequence(let a), .sequence(let b)), (.anyOf(let a), .anyOf(let b)): a == b
        case (.list(let a, let s, let i, let j), .list(let b, let t, let k, let l)):
            a == b && same(s, t) && i == k && j == l
        default: false
        }
    }
}
