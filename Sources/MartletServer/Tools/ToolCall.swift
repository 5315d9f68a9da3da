import MartletJinja

/// A call of a function in an answer.
struct ToolCall: Sendable, Hashable {
    var id: String
    var name: String
    /// JSON.
    var arguments = ""

    /// As messages have it.
    var json: Value {
        .dictionary([
            ("id", .string(id)), ("type", .string("function")),
            ("function", .dictionary([("name", .string(name)), ("arguments", .string(arguments))])),
        ])
    }

    /// Its beginning in a stream.
    func delta(_ index: Int) -> Value {
        .dictionary([
            ("index", .int(index)), ("id", .string(id)), ("type", .string("function")),
            ("function", .dictionary([("name", .string(name)), ("arguments", .string(arguments))])),
        ])
    }

    /// More of a call's arguments in a stream.
    static func delta(_ index: Int, arguments: String) -> Value {
        .dictionary([("index", .int(index)), ("function", .dictionary([("arguments", .string(arguments))]))])
    }

    /// A new name for a call. Mistral's templates want nine letters or digits.
    static func newID(_ format: ToolFormat) -> String {
        format == .mistral ? .randomHex(count: 9) : "call_" + .randomHex(count: 24)
    }
}

extension ToolUse {
    /// The calls in a whole answer, and what is beside them.
    func read(_ text: String) -> (text: String, calls: [ToolCall]) {
        var parser = ToolCallParser(self)
        var content = ""
        var calls: [ToolCall] = []
        for event in parser.append(text) + parser.finish() {
            switch event {
            case .text(let part): content += part
            case .call(_, let name): calls.append(ToolCall(id: ToolCall.newID(format), name: name))
            case .arguments(let index, let part): calls[index].arguments += part
            }
        }
        return (content, calls)
    }
}
