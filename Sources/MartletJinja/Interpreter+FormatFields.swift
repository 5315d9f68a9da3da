extension Interpreter {
    /// Python's `text.format(…)`: `{}`, `{0}`, `{name.attribute[key]!r:>10}`.
    func formatFields(of text: String, _ arguments: Arguments) throws(JinjaError) -> String {
        try charge(text.utf8.count)
        var numbering = FieldNumbering()
        return try formatFields(of: text, arguments, &numbering, level: 0)
    }

    private func formatFields(
        of text: String, _ arguments: Arguments, _ numbering: inout FieldNumbering, level: Int
    ) throws(JinjaError) -> String {
        // A specification may hold fields, but theirs may not.
        guard level < 2 else { throw fail("max string recursion exceeded") }
        var reader = ScalarReader(text)
        var result = ""
        while let scalar = reader.next() {
            switch scalar {
            case "{":
                if reader.skip("{") {
                    result += "{"
                } else {
                    result += try formatField(&reader, arguments, &numbering, level: level)
                }
            case "}":
                guard reader.skip("}") else { throw fail("single '}' encountered in format string") }
                result += "}"
            default: result.unicodeScalars.append(scalar)
            }
            try checkStringBytes(result.utf8.count)
        }
        return result
    }

    private func formatField(
        _ reader: inout ScalarReader, _ arguments: Arguments, _ numbering: inout FieldNumbering, level: Int
    ) throws(JinjaError) -> String {
        var path = String.UnicodeScalarView()
        while let scalar = reader.current, scalar != "}", scalar != ":", scalar != "!" {
            path.append(scalar)
            _ = reader.next()
        }
        var value = try lookUpField(String(path), arguments, &numbering)
        if reader.skip("!") {
            switch reader.next() {
            case "s": value = .string(try text(value))
            case "r": value = .string(try representation(value))
            case "a": value = .string(try asciiRepresentation(value))
            default: throw fail("unknown conversion in format string")
            }
        }
        var specification = ""
        if reader.skip(":") {
            var openBraces = 0
            while let scalar = reader.current, scalar != "}" || openBraces > 0 {
                if scalar == "{" { openBraces += 1 }
                if scalar == "}" { openBraces -= 1 }
                specification.unicodeScalars.append(scalar)
                _ = reader.next()
            }
            specification = try formatFields(of: specification, arguments, &numbering, level: level + 1)
        }
        guard reader.skip("}") else { throw fail("expected '}' before end of string") }
        return try format(value, parse(specification))
    }

    private func lookUpField(_ path: String, _ arguments: Arguments, _ numbering: inout FieldNumbering)
        throws(JinjaError)
        -> Value
    {
        var reader = ScalarReader(path)
        var name = String.UnicodeScalarView()
        while let scalar = reader.current, scalar != ".", scalar != "[" {
            name.append(scalar)
            _ = reader.next()
        }
        var value: Value
        if name.isEmpty || name.allSatisfy(\.isDigit) {
            let index = try numbering.index(of: String(name), in: self)
            guard index >= 0, index < arguments.positional.count else {
                throw fail("replacement index \(index) out of range for positional args tuple")
            }
            value = arguments.positional[index]
        } else {
            try charge(arguments.keyword.count / 8)
            guard let argument = arguments.keyword.first(where: { $0.name == String(name) }) else {
                throw fail("KeyError: '\(String(name))'")
            }
            value = argument.value
        }
        while let mark = reader.next() {
            if mark == "[" {
                guard let key = reader.read(until: "]") else { throw fail("missing ']' in format string") }
                value = try item(Int(key).map(Value.int) ?? .string(key), of: value)
            } else {
                var attribute = String.UnicodeScalarView()
                while let scalar = reader.current, scalar != ".", scalar != "[" {
                    attribute.append(scalar)
                    _ = reader.next()
                }
                value = try self.attribute(String(attribute), of: value)
            }
        }
        return value
    }

    private func parse(_ text: String) throws(JinjaError) -> FormatSpecification {
        var specification = FormatSpecification()
        var reader = ScalarReader(text)
        let alignments = "<>=^".unicodeScalars
        if let second = reader.following, alignments.contains(second) {
            specification.fill = reader.next() ?? " "
            specification.alignment = reader.next()
        } else if let first = reader.current, alignments.contains(first) {
            specification.alignment = reader.next()
        }
        if let sign = reader.current, sign == "+" || sign == "-" || sign == " " {
            specification.sign = sign == "-" ? nil : sign
            _ = reader.next()
        }
        specification.isAlternate = reader.skip("#")
        if reader.skip("0"), specification.alignment == nil {
            specification.fill = "0"
            specification.alignment = "="
        }
        specification.width = reader.readInteger() ?? 0
        if let separator = reader.current, separator == "," || separator == "_" {
            specification.groupSeparator = reader.next()
        }
        if reader.skip(".") {
            guard let precision = reader.readInteger() else { throw fail("format specifier missing precision") }
            specification.precision = precision
        }
        specification.type = reader.next()
        guard reader.current == nil else { throw fail("invalid format specifier '\(text)'") }
        return specification
    }

    private func format(_ value: Value, _ specification: FormatSpecification) throws(JinjaError) -> String {
        switch (value, specification.type) {
        case (.bool, nil) where specification.width == 0: return try text(value)
        case (.int(let integer), _) where specification.type != "s": return try formatted(integer, specification)
        case (.bool(let flag), _) where specification.type != "s": return try formatted(flag ? 1 : 0, specification)
        case (.float(let number), _) where specification.type != "s": return try formatted(number, specification)
        case (.string(let string), nil), (.string(let string), "s"):
            guard specification.alignment != "=" else {
                throw fail("'=' alignment not allowed in string format specifier")
            }
            let cut = specification.precision.map { string.scalarSlice(Slice(start: 0, stop: $0)) } ?? string
            return try padded(cut, specification)
        default:
            guard specification.type == nil, specification.width == 0 else {
                throw fail("unsupported format string passed to \(value.typeName).__format__")
            }
            return try text(value)
        }
    }
}

/// Fields are numbered by their places or by numbers of their own, never both in one text.
private struct FieldNumbering {
    private var next = 0
    private var isManual = false

    /// The position that a field's name, empty or a number, stands for.
    mutating func index(of name: String, in interpreter: Interpreter) throws(JinjaError) -> Int {
        guard name.isEmpty ? !isManual : next == 0 else {
            throw interpreter.fail("cannot mix numbered fields and fields without a number")
        }
        if name.isEmpty {
            defer { next += 1 }
            return next
        }
        isManual = true
        return Int(name) ?? .max
    }
}
