extension Interpreter {
    /// Python's `str(value)`, where an undefined value is empty.
    func text(_ value: Value) throws(JinjaError) -> String {
        switch value {
        case .string(let text), .markup(let text): return text
        case .undefined: return ""
        default: return try representation(value)
        }
    }

    /// Python's `repr(value)`.
    func representation(_ value: Value) throws(JinjaError) -> String {
        try written { writer throws(JinjaError) in try value.represent(to: &writer) }
    }

    /// Python's `ascii(value)`.
    func asciiRepresentation(_ value: Value) throws(JinjaError) -> String {
        let text = try representation(value).mapped { $0.isASCII ? String($0) : $0.pythonEscape }
        try charge(text.utf8.count)
        try checkStringBytes(text.utf8.count)
        return text
    }

    func json(_ value: Value, _ format: JSONWriter) throws(JinjaError) -> String {
        try written { writer throws(JinjaError) in try format.write(value, to: &writer) }
    }

    private func written(_ body: (inout TextWriter) throws(JinjaError) -> Void) throws(JinjaError) -> String {
        var writer = TextWriter(maxBytes: limits.maxStringBytes, maxSteps: maxSteps - steps)
        do {
            try body(&writer)
        } catch {
            throw JinjaError(error.kind, error.message, line: line)
        }
        try charge(writer.steps)
        return writer.text
    }

    /// The string that an operation needs; `purpose` completes the message "… must be str".
    func requireString(_ value: Value, _ purpose: String) throws(JinjaError) -> String {
        if let text = value.asString { return text }
        try refuseUndefined(value)
        throw fail("\(purpose) must be str, not \(value.typeName)")
    }

    func requireInteger(_ value: Value, _ purpose: String) throws(JinjaError) -> Int {
        if let integer = value.asInteger { return integer }
        try refuseUndefined(value)
        throw fail("\(purpose) must be an integer, not \(value.typeName)")
    }

    /// Everything but printing, testing and walking raises for an undefined value.
    func refuseUndefined(_ value: Value) throws(JinjaError) {
        if case .undefined(let undefined) = value {
            throw fail(undefined.message, undefined.isUnsafe ? .security : .undefined)
        }
    }
}
