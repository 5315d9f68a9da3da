// Python's `Markup` (https://markupsafe.palletsprojects.com): text that is safe to put into HTML. Whatever is combined
// with it is escaped first, so `("a"|safe) + "<b>"` is "a&lt;b&gt;" although nothing else in a chat template escapes.

extension Interpreter {
    /// The text for HTML; what is escaped already stays.
    func escaped(_ value: Value) throws(JinjaError) -> Value {
        if case .markup = value { return value }
        let text = try text(value)
        try charge(bytes: text.utf8.count * 4)
        var result: [UInt8] = []
        result.reserveCapacity(text.utf8.count)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "&"): result += "&amp;".utf8
            case UInt8(ascii: "<"): result += "&lt;".utf8
            case UInt8(ascii: ">"): result += "&gt;".utf8
            case UInt8(ascii: "'"): result += "&#39;".utf8
            case UInt8(ascii: "\""): result += "&#34;".utf8
            default: result.append(byte)
            }
        }
        return try markedUp(try string(String(decoding: result, as: UTF8.self)))
    }

    /// Marks text, also in a list of pieces, as escaped.
    func markedUp(_ value: Value) throws(JinjaError) -> Value {
        switch value {
        case .string(let text): .markup(text)
        case .list(let list): try self.list(list.elements.map { $0.asString.map(Value.markup) ?? $0 })
        case .tuple(let list): try tuple(list.elements.map { $0.asString.map(Value.markup) ?? $0 })
        default: value
        }
    }

    /// Arithmetic with escaped text on either side; nil where Python raises TypeError.
    func calculateMarkup(_ operation: ArithmeticOperator, _ left: Value, _ right: Value) throws(JinjaError) -> Value? {
        switch operation {
        case .add:
            guard left.asString != nil, right.asString != nil else { return nil }
            return try markedUp(
                try calculate(.add, try escaped(left).plain, try escaped(right).plain))
        case .multiply:
            if let count = right.asInteger, let repeated = try repeating(left.plain, count) {
                return try markedUp(repeated)
            }
            if let count = left.asInteger, let repeated = try repeating(right.plain, count) {
                return try markedUp(repeated)
            }
            return nil
        case .modulo:
            guard case .markup(let format) = left else {
                guard case .string(let format) = left else { return nil }
                return try string(try percentFormat(format, right))
            }
            var operand = try escapedOperand(right)
            if case .tuple(let list) = right {
                var elements: [Value] = []
                for element in list.elements { elements.append(try escapedOperand(element)) }
                operand = try tuple(elements)
            } else if case .dictionary(let dictionary) = right {
                operand = try escapedOperands(dictionary)
            }
            return try markedUp(try string(try percentFormat(format, operand)))
        default: return nil
        }
    }

    /// Numbers stay numbers, for `%d`.
    private func escapedOperand(_ value: Value) throws(JinjaError) -> Value {
        value.asDouble == nil ? try escaped(value).plain : value
    }

    private func escapedOperands(_ dictionary: ValueDictionary) throws(JinjaError) -> Value {
        var entries: [(Value, Value)] = []
        for (key, value) in zip(dictionary.keys, dictionary.values) { entries.append((key, try escapedOperand(value))) }
        return try self.dictionary(entries)
    }

    /// The arguments of a method of escaped text: those whose text ends up in the result are escaped.
    func escapedArguments(_ arguments: Arguments, ofMarkupMethod name: String) throws(JinjaError) -> Arguments {
        var arguments = arguments
        switch name {
        case "replace":
            if arguments.positional.count > 1 { arguments.positional[1] = try escaped(arguments.positional[1]).plain }
        case "join":
            if let first = arguments.positional.first {
                var pieces: [Value] = []
                for piece in try elements(of: first) { pieces.append(try escaped(piece).plain) }
                arguments.positional[0] = try list(pieces)
            }
        case "format_map":
            if case .dictionary(let mapping) = arguments.positional.first {
                arguments.positional[0] = try escapedOperands(mapping)
            }
        case "format":
            for index in arguments.positional.indices {
                arguments.positional[index] = try escapedOperand(arguments.positional[index])
            }
            for index in arguments.keyword.indices {
                arguments.keyword[index].value = try escapedOperand(arguments.keyword[index].value)
            }
        default: break
        }
        return arguments
    }
}
