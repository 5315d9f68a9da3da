extension Filter {
    /// A filter of the value's text.
    private static func onText(
        _ name: String, _ parameters: [String] = [], required: Int = 0, readsScalars: Bool = false,
        keepsMarkup: Bool = false,
        _ body: @escaping @Sendable (Interpreter, String, BoundArguments) throws(JinjaError) -> Value
    ) -> Filter {
        Filter(name, parameters, required: required, keepsMarkup: keepsMarkup) {
            (interpreter, value, arguments) throws(JinjaError) in
            let text = try interpreter.text(value)
            if readsScalars {
                try interpreter.charge(scalarsOf: text)
            } else {
                try interpreter.charge(bytes: text.utf8.count * 4)
            }
            return try body(interpreter, text, arguments)
        }
    }

    static let text: [Filter] = [
        onText("upper", readsScalars: true, keepsMarkup: true) { (interpreter, text, _) throws(JinjaError) in
            try interpreter.string(text.pythonUppercased)
        },
        onText("lower", readsScalars: true, keepsMarkup: true) { (interpreter, text, _) throws(JinjaError) in
            try interpreter.string(text.pythonLowercased)
        },
        onText("capitalize", readsScalars: true, keepsMarkup: true) { (interpreter, text, _) throws(JinjaError) in
            try interpreter.string(text.pythonCapitalized)
        },
        onText("title", readsScalars: true) { (interpreter, text, _) throws(JinjaError) in
            try interpreter.string(titlecased(text))
        },
        onText("trim", ["chars"], keepsMarkup: true) { (interpreter, text, arguments) throws(JinjaError) in
            try interpreter.string(text.stripped(try interpreter.optionalString(arguments[0], "strip arg")))
        },
        onText("replace", ["old", "new", "count"], required: 2) { (interpreter, text, arguments) throws(JinjaError) in
            var limit: Int?
            if let count = arguments[2], case .some = try interpreter.optionalBound(count) {
                limit = try interpreter.optionalCount(count)
            }
            return try interpreter.replace(
                text, try interpreter.text(arguments.value(0)), try interpreter.text(arguments.value(1)), limit: limit)
        },
        onText("center", ["width"], keepsMarkup: true) { (interpreter, text, arguments) throws(JinjaError) in
            let width = try interpreter.requireInteger(arguments[0] ?? .int(80), "width")
            return try interpreter.string(try interpreter.pad(text, to: width, with: " ", .center))
        },
        onText("wordcount", readsScalars: true) { _, text, _ in
            var count = 0
            var isInside = false
            for scalar in text.unicodeScalars {
                let isWord = scalar == "_" || scalar.isPythonAlphanumeric
                if isWord, !isInside { count += 1 }
                isInside = isWord
            }
            return .int(count)
        },
        Filter("indent", ["width", "first", "blank"], keepsMarkup: true) {
            (interpreter, value, arguments) throws(JinjaError) in
            let text = try interpreter.requireString(value, "the text to indent")
            return try indent(interpreter, text, arguments)
        },
        Filter("truncate", ["length", "killwords", "end", "leeway"], keepsMarkup: true) {
            (interpreter, value, arguments) throws(JinjaError) in
            let text = try interpreter.requireString(value, "the text to truncate")
            return try truncate(interpreter, text, arguments)
        },
        Filter(anything: "format", seesMarkup: true) { (interpreter, value, arguments) throws(JinjaError) in
            let arguments = arguments.all
            guard arguments.positional.isEmpty || arguments.keyword.isEmpty else {
                throw interpreter.fail("can't handle positional and keyword arguments at the same time")
            }
            let operand =
                arguments.keyword.isEmpty
                ? try interpreter.tuple(arguments.positional)
                : try interpreter.dictionary(arguments.keyword.map { (.string($0.name), $0.value) })
            if case .markup = value { return try interpreter.calculate(.modulo, value, operand) }
            return try interpreter.string(try interpreter.percentFormat(try interpreter.text(value), operand))
        },
    ]

    /// Words begin after spaces, hyphens and opening brackets; `str.title` would also begin one after an apostrophe.
    private static func titlecased(_ text: String) -> String {
        func isBoundary(_ scalar: Unicode.Scalar) -> Bool {
            scalar.isPythonSpace || "-({[<".unicodeScalars.contains(scalar)
        }
        if text.isASCII {
            var startsWord = true
            return text.mapped { scalar in
                defer { startsWord = isBoundary(scalar) }
                return startsWord ? scalar.upper : scalar.lower
            }
        }
        var result = ""
        var word = String.UnicodeScalarView()
        func finishWord() {
            guard let first = word.first else { return }
            result += first.upper + String(String.UnicodeScalarView(word.dropFirst())).pythonLowercased
            word = String.UnicodeScalarView()
        }
        for scalar in text.unicodeScalars {
            if isBoundary(scalar) {
                finishWord()
                result.unicodeScalars.append(scalar)
            } else {
                word.append(scalar)
            }
        }
        finishWord()
        return result
    }

    private static func indent(
        _ interpreter: Interpreter, _ text: String, _ arguments: BoundArguments
    ) throws(JinjaError) -> Value {
        let indentation: String
        if let prefix = arguments[0]?.asString {
            indentation = prefix
        } else {
            let width = max(0, try interpreter.requireInteger(arguments[0] ?? .int(4), "width"))
            try interpreter.checkStringBytes(width)
            try interpreter.charge(bytes: width)
            indentation = " ".repeated(width)
        }
        let indentsFirst = arguments[1]?.isTrue ?? false
        let indentsBlank = arguments[2]?.isTrue ?? false
        try interpreter.charge(bytes: text.utf8.count * 4)
        // The additional newline keeps a last line that is empty.
        let lines = (text + "\n").splitLines()
        var pieces: [String] = []
        var bytes = 0
        for (index, line) in lines.enumerated() {
            let isIndented = index == 0 ? indentsFirst : indentsBlank || !line.isEmpty
            bytes += line.utf8.count + (isIndented ? indentation.utf8.count : 0)
            try interpreter.checkStringBytes(bytes)
            pieces.append(isIndented ? indentation + line : line)
        }
        return try interpreter.join(pieces, separator: "\n")
    }

    private static func truncate(
        _ interpreter: Interpreter, _ text: String, _ arguments: BoundArguments
    ) throws(JinjaError) -> Value {
        let length = try interpreter.requireInteger(arguments[0] ?? .int(255), "length")
        let end = try interpreter.requireString(arguments[2] ?? .string("..."), "end")
        let leeway = try interpreter.optionalBound(arguments[3]) ?? 5
        let endCount = end.unicodeScalars.count
        guard length >= endCount else { throw interpreter.fail("expected length >= \(endCount), got \(length)") }
        guard leeway >= 0 else { throw interpreter.fail("expected leeway >= 0, got \(leeway)") }
        try interpreter.charge(bytes: text.utf8.count)
        if text.unicodeScalars.count <= length.addingSaturated(leeway) { return .string(text) }
        let kept = text.scalarSlice(Slice(start: 0, stop: length - endCount))
        if arguments[1]?.isTrue ?? false { return try interpreter.string(kept + end) }
        return try interpreter.string(kept.split(by: " ", limit: 1, fromEnd: true)[0] + end)
    }

    // MARK: HTML and URLs

    static let html: [Filter] = [
        Filter("escape", seesMarkup: true) { (interpreter, value, _) throws(JinjaError) in
            try interpreter.markedUp(try interpreter.escaped(value))
        },
        Filter("forceescape") { (interpreter, value, _) throws(JinjaError) in
            try interpreter.markedUp(try interpreter.escaped(value))
        },
        Filter("urlencode") { (interpreter, value, _) throws(JinjaError) in
            switch value {
            case .dictionary(let dictionary):
                return try queryString(interpreter, zip(dictionary.keys, dictionary.values).map { [$0, $1] })
            case .list, .tuple:
                var pairs: [[Value]] = []
                for element in try interpreter.elements(of: value) {
                    let pair = try interpreter.elements(of: element)
                    guard pair.count == 2 else { throw interpreter.fail("urlencode needs pairs") }
                    pairs.append(pair)
                }
                return try queryString(interpreter, pairs)
            default:
                let text = try interpreter.text(value)
                try interpreter.charge(bytes: text.utf8.count * 8)
                return try interpreter.string(percentEncoded(text, isQuery: false))
            }
        },
    ]

    private static func queryString(_ interpreter: Interpreter, _ pairs: [[Value]]) throws(JinjaError) -> Value {
        var pieces: [String] = []
        for pair in pairs {
            var encoded: [String] = []
            for value in pair {
                let text = try interpreter.text(value)
                try interpreter.charge(bytes: text.utf8.count * 8)
                encoded.append(percentEncoded(text, isQuery: true))
            }
            pieces.append(encoded.joined(separator: "="))
        }
        return try interpreter.join(pieces, separator: "&")
    }

    private static func percentEncoded(_ text: String, isQuery: Bool) -> String {
        var result = ""
        for byte in text.utf8 {
            let scalar = Unicode.Scalar(byte)
            let isUnreserved =
                scalar.isASCII && (scalar.isIdentifierPart || scalar == "-" || scalar == "." || scalar == "~")
            if isUnreserved || scalar == "/" && !isQuery {
                result.unicodeScalars.append(scalar)
            } else if isQuery, scalar == " " {
                result += "+"
            } else {
                result += (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
            }
        }
        return result
    }
}
