// Jinja2's lexical rules (https://jinja.palletsprojects.com/en/stable/templates/), with the settings that transformers
// renders chat templates with: trim_blocks (the newline after a block tag goes), lstrip_blocks (the indentation before
// a block tag goes), and no newline kept at the end of the template.

/// Splits a template into tokens.
struct Lexer {
    private let source: [Unicode.Scalar]
    private var position = 0
    private var line = 1
    private var tokens: [Token] = []
    /// The text since the last tag begins a line, so lstrip_blocks applies although it holds no newline.
    private var startsLine = true

    private enum Tag { case variable, block, comment }

    init(_ source: String) {
        var scalars: [Unicode.Scalar] = []
        scalars.reserveCapacity(source.utf8.count)
        var followsReturn = false
        for scalar in source.unicodeScalars {
            // "\r\n" and "\r" become "\n".
            if scalar != "\n" || !followsReturn { scalars.append(scalar == "\r" ? "\n" : scalar) }
            followsReturn = scalar == "\r"
        }
        if scalars.last == "\n" { scalars.removeLast() }
        self.source = scalars
    }

    static func tokenize(_ source: String) throws(JinjaError) -> [Token] {
        var lexer = Lexer(source)
        try lexer.run()
        return lexer.tokens
    }

    private mutating func run() throws(JinjaError) {
        while position < source.count {
            guard let (start, tag) = nextTag() else {
                emitData(source[position...])
                position = source.count
                break
            }
            if tag == .block, let contentStart = rawTag("raw", at: start) {
                emitData(before: start, tag: .block)
                try readRaw(from: contentStart)
                continue
            }
            emitData(before: start, tag: tag)
            var inner = start + 2
            if let sign = scalar(at: inner), sign == "-" || sign == "+" { inner += 1 }
            switch tag {
            case .comment: try readComment(from: inner)
            case .variable: try readTag(from: inner, begin: .variableBegin, end: .variableEnd)
            case .block: try readTag(from: inner, begin: .blockBegin, end: .blockEnd)
            }
        }
        tokens.append(Token(kind: .end, line: line))
    }

    private func scalar(at index: Int) -> Unicode.Scalar? { index < source.count ? source[index] : nil }

    private func matches(_ first: Unicode.Scalar, _ second: Unicode.Scalar, at index: Int) -> Bool {
        index + 1 < source.count && source[index] == first && source[index + 1] == second
    }

    private func nextTag() -> (Int, Tag)? {
        var index = position
        while index + 1 < source.count {
            if source[index] == "{" {
                switch source[index + 1] {
                case "{": return (index, .variable)
                case "%": return (index, .block)
                case "#": return (index, .comment)
                default: break
                }
            }
            index += 1
        }
        return nil
    }

    // MARK: Text between tags

    private mutating func emitData(_ text: ArraySlice<Unicode.Scalar>) {
        if !text.isEmpty {
            var string = ""
            string.unicodeScalars.append(contentsOf: text)
            tokens.append(Token(kind: .data(string), line: line))
        }
    }

    /// Emits the text before the tag at `start`, without what the tag strips, and moves to the tag.
    private mutating func emitData(before start: Int, tag: Tag) {
        var end = start
        let sign = scalar(at: start + 2)
        if sign == "-" {
            while end > position, source[end - 1].isPythonSpace { end -= 1 }
        } else if sign != "+", tag != .variable {
            var lineStart = start
            while lineStart > position, source[lineStart - 1] != "\n" { lineStart -= 1 }
            if lineStart > position || startsLine, source[lineStart..<start].allSatisfy(\.isPythonSpace) {
                end = lineStart
            }
        }
        emitData(source[position..<end])
        advance(to: start)
    }

    private mutating func advance(to end: Int) {
        for index in position..<end where source[index] == "\n" { line += 1 }
        position = end
    }

    /// Moves behind a tag's end delimiter at `end` (two scalars, after an optional sign) and the space that it strips.
    private mutating func closeTag(at end: Int, sign: Unicode.Scalar?, trimsNewline: Bool) {
        var next = end + 2
        if sign == "-" {
            while let scalar = scalar(at: next), scalar.isPythonSpace { next += 1 }
        } else if sign != "+", trimsNewline, scalar(at: next) == "\n" {
            next += 1
        }
        advance(to: next)
        startsLine = next > 0 && source[next - 1] == "\n"
    }

    private mutating func readComment(from start: Int) throws(JinjaError) {
        let beginLine = line
        var index = start
        while index + 1 < source.count {
            if matches("#", "}", at: index) {
                let sign =
                    index > start && (source[index - 1] == "-" || source[index - 1] == "+") ? source[index - 1] : nil
                return closeTag(at: index, sign: sign, trimsNewline: true)
            }
            index += 1
        }
        // Jinja2 only complains when there is something in the comment.
        guard start == source.count else { throw JinjaError(.syntax, "missing end of comment tag", line: beginLine) }
        position = source.count
    }

    // MARK: Raw blocks

    /// The position behind `{% name %}` when that stands at `start`.
    private func rawTag(_ name: String, at start: Int) -> Int? {
        var index = start + 2
        if let sign = scalar(at: index), sign == "-" || sign == "+" { index += 1 }
        while let scalar = scalar(at: index), scalar.isPythonSpace { index += 1 }
        for expected in name.unicodeScalars {
            guard scalar(at: index) == expected else { return nil }
            index += 1
        }
        while let scalar = scalar(at: index), scalar.isPythonSpace { index += 1 }
        if matches("%", "}", at: index) { return index + 2 }
        guard let sign = scalar(at: index), sign == "-" || sign == "+" && name == "endraw",
            matches("%", "}", at: index + 1)
        else { return nil }
        return index + 3
    }

    private mutating func readRaw(from contentStart: Int) throws(JinjaError) {
        let beginLine = line
        // The begin tag strips what follows only with "-"; trim_blocks does not apply to it.
        closeTag(at: contentStart - 2, sign: source[contentStart - 3] == "-" ? "-" : nil, trimsNewline: false)
        var index = position
        while index + 1 < source.count {
            if matches("{", "%", at: index), let end = rawTag("endraw", at: index) {
                emitData(before: index, tag: .block)
                let sign = source[end - 3]
                return closeTag(at: end - 2, sign: sign == "-" || sign == "+" ? sign : nil, trimsNewline: true)
            }
            index += 1
        }
        guard position == source.count else {
            throw JinjaError(.syntax, "missing end of raw directive", line: beginLine)
        }
    }

    // MARK: Inside of tags

    private mutating func readTag(from start: Int, begin: Token.Kind, end: Token.Kind) throws(JinjaError) {
        let closing: Unicode.Scalar = end == .blockEnd ? "%" : "}"
        tokens.append(Token(kind: begin, line: line))
        position = start
        var openBrackets: [Token.Symbol] = []
        while let current = scalar(at: position) {
            if openBrackets.isEmpty {
                if matches(closing, "}", at: position) {
                    tokens.append(Token(kind: end, line: line))
                    return closeTag(at: position, sign: nil, trimsNewline: end == .blockEnd)
                }
                if current == "-" || current == "+" && end == .blockEnd, matches(closing, "}", at: position + 1) {
                    tokens.append(Token(kind: end, line: line))
                    return closeTag(at: position + 1, sign: current, trimsNewline: end == .blockEnd)
                }
            }
            if current.isPythonSpace {
                advance(to: position + 1)
            } else if current.isDigit {
                try readNumber()
            } else if current.isIdentifierPart {
                readName()
            } else if current == "'" || current == "\"" {
                try readString(quote: current)
            } else {
                try readSymbol(&openBrackets)
            }
        }
        // The parser reports the missing end delimiter, because it knows what it was reading.
    }

    private mutating func readName() {
        var name = ""
        while let scalar = scalar(at: position), scalar.isIdentifierPart {
            name.unicodeScalars.append(scalar)
            position += 1
        }
        tokens.append(Token(kind: .name(name), line: line))
    }

    private mutating func readSymbol(_ openBrackets: inout [Token.Symbol]) throws(JinjaError) {
        var text = ""
        for scalar in source[position..<min(position + 2, source.count)] { text.unicodeScalars.append(scalar) }
        var symbol = Token.Symbol(rawValue: text)
        if symbol == nil {
            text = String(source[position])
            symbol = Token.Symbol(rawValue: text)
        }
        guard let symbol else { throw JinjaError(.syntax, "unexpected character '\(source[position])'", line: line) }
        switch symbol {
        case .leftBrace: openBrackets.append(.rightBrace)
        case .leftBracket: openBrackets.append(.rightBracket)
        case .leftParenthesis: openBrackets.append(.rightParenthesis)
        case .rightBrace, .rightBracket, .rightParenthesis:
            guard let expected = openBrackets.popLast() else {
                throw JinjaError(.syntax, "unexpected '\(symbol.rawValue)'", line: line)
            }
            guard expected == symbol else {
                throw JinjaError(
                    .syntax, "unexpected '\(symbol.rawValue)', expected '\(expected.rawValue)'", line: line)
            }
        default: break
        }
        tokens.append(Token(kind: .symbol(symbol), line: line))
        position += symbol.rawValue.utf8.count
    }
}

// MARK: Literals

extension Lexer {
    /// Digits of `radix`, single underscores between them allowed; nil when there are none at `index`.
    private func digits(at index: inout Int, radix: Int = 10) -> String? {
        var text = ""
        var next = index
        while let scalar = scalar(at: next) {
            if scalar == "_", !text.isEmpty || radix != 10, let following = self.scalar(at: next + 1),
                following.isDigit(radix)
            {
                next += 1
            } else if scalar.isDigit(radix) {
                text.unicodeScalars.append(scalar)
                next += 1
            } else {
                break
            }
        }
        guard !text.isEmpty else { return nil }
        index = next
        return text
    }

    private mutating func readNumber() throws(JinjaError) {
        var index = position
        if source[position] == "0", let mark = scalar(at: position + 1) {
            let radix: Int? =
                switch mark {
                case "b", "B": 2
                case "o", "O": 8
                case "x", "X": 16
                default: nil
                }
            index += 2
            if let radix, let text = digits(at: &index, radix: radix) {
                return try emitInteger(text, radix: radix, end: index)
            }
            index = position
        }
        guard var text = digits(at: &index) else { return }
        let integerEnd = index
        let integerText = text
        // After a dot a number is an attribute: `pair.0.1` is not `pair.(0.1)`.
        guard position == 0 || source[position - 1] != "." else {
            return try emitInteger(integerText, radix: 10, end: integerEnd)
        }
        var isFloat = false
        if scalar(at: index) == "." {
            var next = index + 1
            if let first = scalar(at: next), first.isDigit, let fraction = digits(at: &next) {
                text += "." + fraction
                index = next
                isFloat = true
            }
        }
        if let mark = scalar(at: index), mark == "e" || mark == "E" {
            var next = index + 1
            var sign = ""
            if let scalar = scalar(at: next), scalar == "+" || scalar == "-" {
                sign = String(scalar)
                next += 1
            }
            if let first = scalar(at: next), first.isDigit, let exponent = digits(at: &next) {
                text += "e" + sign + exponent
                index = next
                isFloat = true
            }
        }
        guard isFloat else { return try emitInteger(integerText, radix: 10, end: integerEnd) }
        guard let value = Double(text) else { throw JinjaError(.syntax, "malformed number '\(text)'", line: line) }
        tokens.append(Token(kind: .float(value), line: line))
        position = index
    }

    private mutating func emitInteger(_ text: String, radix: Int, end: Int) throws(JinjaError) {
        var text = text
        var end = end
        if radix == 10, text.utf8.count > 1, text.utf8.first == UInt8(ascii: "0"),
            text.utf8.contains(where: { $0 != UInt8(ascii: "0") })
        {
            // Python's rule for integers ends after leading zeros: `01` is `0` followed by `1`.
            let zeros = text.prefix { $0 == "0" }
            end -= text.utf8.count - zeros.utf8.count
            text = String(zeros)
        }
        if let value = Int(text, radix: radix) {
            tokens.append(Token(kind: .integer(value), line: line))
        } else if radix == 10, text.utf8.count <= LargeInteger.maxDigits {
            tokens.append(Token(kind: .largeInteger(text), line: line))
        } else {
            throw JinjaError(.syntax, "an integer of \(text.utf8.count) digits does not fit 64 bits", line: line)
        }
        position = end
    }

    private mutating func readString(quote: Unicode.Scalar) throws(JinjaError) {
        let beginLine = line
        var text = String.UnicodeScalarView()
        var index = position + 1
        while let scalar = scalar(at: index) {
            if scalar == quote {
                tokens.append(Token(kind: .string(String(text)), line: beginLine))
                return advance(to: index + 1)
            }
            index += 1
            if scalar == "\\" {
                try readEscape(at: &index, into: &text)
            } else {
                text.append(scalar)
            }
        }
        throw JinjaError(.syntax, "a string without an end", line: beginLine)
    }

    /// Python's escapes; an unknown one stands for itself, backslash included. Jinja2 writes the text in ASCII before it
    /// reads them, so that of a scalar beyond that its escape is left.
    private func readEscape(at index: inout Int, into text: inout String.UnicodeScalarView) throws(JinjaError) {
        guard let mark = scalar(at: index) else { return }
        index += 1
        switch mark {
        case "\n": return
        case "\\", "'", "\"": text.append(mark)
        case "a": text.append("\u{7}")
        case "b": text.append("\u{8}")
        case "f": text.append("\u{C}")
        case "n": text.append("\n")
        case "r": text.append("\r")
        case "t": text.append("\t")
        case "v": text.append("\u{B}")
        case "x": text.append(try readCode(at: &index, digits: 2))
        case "u": text.append(try readCode(at: &index, digits: 4))
        case "U": text.append(try readCode(at: &index, digits: 8))
        case "N": throw JinjaError(.syntax, "characters by name (\\N{…}) are not supported", line: line)
        case "0"..."7":
            var value = mark.value - 0x30
            for _ in 0..<2 {
                guard let digit = scalar(at: index), digit.isDigit(8) else { break }
                value = value * 8 + digit.value - 0x30
                index += 1
            }
            text.append(Unicode.Scalar(value) ?? "\u{FFFD}")
        case _ where !mark.isASCII: text.append(contentsOf: mark.pythonEscape.unicodeScalars)
        default:
            text.append("\\")
            text.append(mark)
        }
    }

    private func readCode(at index: inout Int, digits: Int) throws(JinjaError) -> Unicode.Scalar {
        var value: UInt32 = 0
        for _ in 0..<digits {
            guard let scalar = scalar(at: index), scalar.isASCII, let digit = Character(scalar).hexDigitValue else {
                throw JinjaError(.syntax, "truncated escape in a string", line: line)
            }
            value = value << 4 | UInt32(digit)
            index += 1
        }
        guard value <= 0x10FFFF else { throw JinjaError(.syntax, "illegal Unicode character in a string", line: line) }
        // Halves of surrogate pairs are no text; Swift strings cannot hold them.
        return Unicode.Scalar(value) ?? "\u{FFFD}"
    }
}

extension Unicode.Scalar {
    /// Python's `str.isspace`, which includes the separators U+001C … U+001F.
    var isPythonSpace: Bool {
        switch value {
        case 0x20, 0x09...0x0D, 0x1C...0x1F, 0x85, 0xA0: true
        case 0..<0x1680: false
        default: properties.isWhitespace
        }
    }

    var isDigit: Bool { (0x30...0x39).contains(value) }

    func isDigit(_ radix: Int) -> Bool {
        guard isASCII, let digit = Character(self).hexDigitValue else { return false }
        return digit < radix
    }

    var isIdentifierPart: Bool {
        if isASCII { return isDigit || self == "_" || (0x41...0x5A).contains(value) || (0x61...0x7A).contains(value) }
        return properties.isXIDContinue
    }

    var isIdentifierStart: Bool { isASCII ? isIdentifierPart && !isDigit : properties.isXIDStart }
}
