extension Method {
    /// A method of strings; the body gets the text.
    private static func text(
        _ name: String, _ parameters: [String] = [], required: Int = 0, readsScalars: Bool = false,
        _ body: @escaping @Sendable (Interpreter, String, BoundArguments) throws(JinjaError) -> Value
    ) -> Method {
        Method(name, parameters, required: required) { (interpreter, value, arguments) throws(JinjaError) in
            guard case .string(let text) = value else { return .null }
            // Every method reads the whole text.
            if readsScalars {
                try interpreter.charge(scalarsOf: text)
            } else {
                try interpreter.charge(bytes: text.utf8.count * 4)
            }
            return try body(interpreter, text, arguments)
        }
    }

    static let ofStrings = table(cases + classes + trimming + splitting + searching + padding)

    private static let cases: [Method] = [
        text("upper", readsScalars: true) { (interpreter, text, _) throws(JinjaError) in
            try interpreter.string(text.pythonUppercased)
        },
        text("lower", readsScalars: true) { (interpreter, text, _) throws(JinjaError) in
            try interpreter.string(text.pythonLowercased)
        },
        text("casefold", readsScalars: true) { (interpreter, text, _) throws(JinjaError) in
            try interpreter.string(text.pythonLowercased.replacing("ß", with: "ss", limit: nil))
        },
        text("title", readsScalars: true) { (interpreter, text, _) throws(JinjaError) in
            try interpreter.string(text.pythonTitlecased)
        },
        text("capitalize", readsScalars: true) { (interpreter, text, _) throws(JinjaError) in
            try interpreter.string(text.pythonCapitalized)
        },
        text("swapcase", readsScalars: true) { (interpreter, text, _) throws(JinjaError) in
            try interpreter.string(text.pythonSwapcased)
        },
    ]

    private static let classes: [Method] = [
        text("isdigit", readsScalars: true) { _, text, _ in .bool(text.allScalars(\.isPythonDigit)) },
        text("isdecimal", readsScalars: true) { _, text, _ in .bool(text.allScalars(\.isPythonDecimal)) },
        text("isnumeric", readsScalars: true) { _, text, _ in .bool(text.allScalars(\.isPythonNumeric)) },
        text("isalpha", readsScalars: true) { _, text, _ in .bool(text.allScalars(\.isLetter)) },
        text("isalnum", readsScalars: true) { _, text, _ in .bool(text.allScalars(\.isPythonAlphanumeric)) },
        text("isspace", readsScalars: true) { _, text, _ in .bool(text.allScalars(\.isPythonSpace)) },
        text("isidentifier", readsScalars: true) { _, text, _ in
            .bool(text.allScalars(\.isIdentifierPart) && text.unicodeScalars.first?.isIdentifierStart == true)
        },
        text("isascii") { _, text, _ in .bool(text.isASCII) },
        text("isprintable", readsScalars: true) { _, text, _ in .bool(text.unicodeScalars.allSatisfy(\.isPrintable)) },
        text("isupper", readsScalars: true) { _, text, _ in .bool(text.isPythonUppercase) },
        text("islower", readsScalars: true) { _, text, _ in .bool(text.isPythonLowercase) },
        text("istitle", readsScalars: true) { _, text, _ in .bool(text.isPythonTitlecase) },
    ]

    private static func strip(_ name: String, left: Bool, right: Bool) -> Method {
        text(name, [""]) { (interpreter, text, arguments) throws(JinjaError) in
            let characters = try interpreter.optionalString(arguments[0], "\(name) arg")
            return try interpreter.string(text.stripped(characters, left: left, right: right))
        }
    }

    private static let trimming: [Method] = [
        strip("strip", left: true, right: true),
        strip("lstrip", left: true, right: false),
        strip("rstrip", left: false, right: true),
        text("removeprefix", [""], required: 1) { (interpreter, text, arguments) throws(JinjaError) in
            let prefix = try interpreter.requireString(arguments.value(0), "removeprefix() argument")
            guard text.utf8.starts(with: prefix.utf8) else { return .string(text) }
            return try interpreter.string(String(bytes: Array(text.utf8)[prefix.utf8.count...]))
        },
        text("removesuffix", [""], required: 1) { (interpreter, text, arguments) throws(JinjaError) in
            let suffix = try interpreter.requireString(arguments.value(0), "removesuffix() argument")
            let bytes = Array(text.utf8)
            guard bytes.suffix(suffix.utf8.count).elementsEqual(suffix.utf8) else { return .string(text) }
            return try interpreter.string(String(bytes: bytes.dropLast(suffix.utf8.count)))
        },
    ]

    private static func split(_ name: String, fromEnd: Bool) -> Method {
        text(name, ["sep", "maxsplit"]) { (interpreter, text, arguments) throws(JinjaError) in
            let separator = try interpreter.optionalString(arguments[0], "the separator")
            let limit = try interpreter.optionalCount(arguments[1])
            guard let separator else {
                return try interpreter.strings(text.splitAtSpaces(limit: limit, fromEnd: fromEnd))
            }
            guard !separator.isEmpty else { throw interpreter.fail("empty separator") }
            return try interpreter.strings(text.split(by: separator, limit: limit, fromEnd: fromEnd))
        }
    }

    private static func partition(_ name: String, fromEnd: Bool) -> Method {
        text(name, [""], required: 1) { (interpreter, text, arguments) throws(JinjaError) in
            let separator = try interpreter.requireString(arguments.value(0), "the separator")
            guard !separator.isEmpty else { throw interpreter.fail("empty separator") }
            let pieces = text.split(by: separator, limit: 1, fromEnd: fromEnd)
            if pieces.count == 2 {
                return try interpreter.tuple([.string(pieces[0]), .string(separator), .string(pieces[1])])
            }
            let whole = Value.string(text)
            return try interpreter.tuple(
                fromEnd ? [.emptyString, .emptyString, whole] : [whole, .emptyString, .emptyString])
        }
    }

    private static let splitting: [Method] = [
        split("split", fromEnd: false),
        split("rsplit", fromEnd: true),
        partition("partition", fromEnd: false),
        partition("rpartition", fromEnd: true),
        text("splitlines", ["keepends"]) { (interpreter, text, arguments) throws(JinjaError) in
            try interpreter.strings(text.splitLines(keepingEnds: arguments[0]?.isTrue ?? false))
        },
        text("join", [""], required: 1) { (interpreter, text, arguments) throws(JinjaError) in
            var pieces: [String] = []
            for element in try interpreter.elements(of: arguments.value(0)) {
                pieces.append(try interpreter.requireString(element, "sequence item \(pieces.count)"))
            }
            return try interpreter.join(pieces, separator: text)
        },
    ]

    // MARK: Search

    /// The part of the text between optional bounds, and the index at which it begins; nil when it begins behind the
    /// end.
    private static func part(
        _ interpreter: Interpreter, _ text: String, _ start: Value?, _ end: Value?
    ) throws(JinjaError) -> (text: String, offset: Int)? {
        guard start != nil || end != nil else { return (text, 0) }
        let count = text.unicodeScalars.count
        let first = try interpreter.optionalBound(start)
        if let first, first > count { return nil }
        let slice = Slice(start: first, stop: try interpreter.optionalBound(end))
        return (text.scalarSlice(slice), slice.resolved(count: count).start)
    }

    private static func search(_ name: String, fromEnd: Bool, isRequired: Bool) -> Method {
        text(name, ["", "", ""], required: 1) { (interpreter, text, arguments) throws(JinjaError) in
            let pattern = try interpreter.requireString(arguments.value(0), "\(name)() argument")
            if let (part, offset) = try part(interpreter, text, arguments[1], arguments[2]) {
                let pieces =
                    pattern.isEmpty
                    ? (fromEnd ? [part, ""] : ["", part]) : part.split(by: pattern, limit: 1, fromEnd: fromEnd)
                if pieces.count == 2 { return .int(offset + pieces[0].unicodeScalars.count) }
            }
            if isRequired { throw interpreter.fail("substring not found") }
            return .int(-1)
        }
    }

    private static func affix(_ name: String, isPrefix: Bool) -> Method {
        text(name, ["", "", ""], required: 1) { (interpreter, text, arguments) throws(JinjaError) in
            var candidates = [arguments.value(0)]
            if case .tuple(let list) = arguments.value(0) { candidates = list.elements }
            guard let (part, _) = try part(interpreter, text, arguments[1], arguments[2]) else { return .bool(false) }
            for candidate in candidates {
                let affix = try interpreter.requireString(candidate, "\(name) first arg")
                try interpreter.charge(bytes: affix.utf8.count)
                let matches =
                    isPrefix
                    ? part.utf8.starts(with: affix.utf8) : part.utf8.suffix(affix.utf8.count).elementsEqual(affix.utf8)
                if matches { return .bool(true) }
            }
            return .bool(false)
        }
    }

    private static let searching: [Method] = [
        search("find", fromEnd: false, isRequired: false),
        search("rfind", fromEnd: true, isRequired: false),
        search("index", fromEnd: false, isRequired: true),
        search("rindex", fromEnd: true, isRequired: true),
        affix("startswith", isPrefix: true),
        affix("endswith", isPrefix: false),
        text("count", ["", "", ""], required: 1) { (interpreter, text, arguments) throws(JinjaError) in
            let pattern = try interpreter.requireString(arguments.value(0), "count() argument")
            guard let (part, _) = try part(interpreter, text, arguments[1], arguments[2]) else { return .int(0) }
            if pattern.isEmpty { return .int(part.unicodeScalars.count + 1) }
            return .int(ByteSearch(Array(pattern.utf8)).offsets(in: Array(part.utf8), limit: nil).count)
        },
        text("replace", ["", "", ""], required: 2) { (interpreter, text, arguments) throws(JinjaError) in
            try interpreter.replace(
                text, try interpreter.requireString(arguments.value(0), "replace() argument 1"),
                try interpreter.requireString(arguments.value(1), "replace() argument 2"),
                limit: try interpreter.optionalCount(arguments[2]))
        },
        Method(anything: "format") { (interpreter, value, arguments) throws(JinjaError) in
            guard case .string(let text) = value else { return .null }
            return try interpreter.string(try interpreter.formatFields(of: text, arguments.all))
        },
        Method("format_map", [""], required: 1) { (interpreter, value, arguments) throws(JinjaError) in
            guard case .string(let text) = value else { return .null }
            guard case .dictionary(let mapping) = arguments.value(0) else {
                throw interpreter.fail("format_map() needs a mapping, not \(arguments.value(0).typeName)")
            }
            try interpreter.charge(mapping.count)
            let fields = zip(mapping.keys, mapping.values).map { (name: $0.asString ?? "", value: $1) }
            return try interpreter.string(try interpreter.formatFields(of: text, Arguments(keyword: fields)))
        },
    ]

    // MARK: Padding

    private static func pad(_ name: String, _ alignment: TextAlignment) -> Method {
        text(name, ["", ""], required: 1) { (interpreter, text, arguments) throws(JinjaError) in
            let width = try interpreter.requireInteger(arguments.value(0), "the width")
            let fill = try arguments[1].map { value throws(JinjaError) in
                try interpreter.requireString(value, "the fill character")
            }
            let scalars = (fill ?? " ").unicodeScalars
            guard scalars.count == 1, let scalar = scalars.first else {
                throw interpreter.fail("the fill character must be exactly one character long")
            }
            return try interpreter.string(try interpreter.pad(text, to: width, with: scalar, alignment))
        }
    }

    private static let padding: [Method] = [
        pad("ljust", .left),
        pad("rjust", .right),
        pad("center", .center),
        text("zfill", [""], required: 1) { (interpreter, text, arguments) throws(JinjaError) in
            let width = try interpreter.requireInteger(arguments.value(0), "the width")
            guard let sign = text.unicodeScalars.first, sign == "+" || sign == "-" else {
                return try interpreter.string(try interpreter.pad(text, to: width, with: "0", .right))
            }
            let digits = String(text.unicodeScalars.dropFirst())
            let padded = try interpreter.pad(digits, to: width.addingSaturated(-1), with: "0", .right)
            return try interpreter.string(String(sign) + padded)
        },
        text("expandtabs", ["tabsize"]) { (interpreter, text, arguments) throws(JinjaError) in
            let size = try arguments[0].map { value throws(JinjaError) in
                try interpreter.requireInteger(value, "the tab size")
            }
            var column = 0
            var result = ""
            for scalar in text.unicodeScalars {
                if scalar == "\t" {
                    let size = size ?? 8
                    let count = size > 0 ? size - column % size : 0
                    try interpreter.checkStringBytes(result.utf8.count.addingSaturated(count))
                    result += " ".repeated(count)
                    column += count
                } else {
                    result.unicodeScalars.append(scalar)
                    column = scalar == "\n" || scalar == "\r" ? 0 : column + 1
                }
            }
            return try interpreter.string(result)
        },
    ]
}

enum TextAlignment { case left, right, center }

extension Interpreter {
    func optionalString(_ value: Value?, _ purpose: String) throws(JinjaError) -> String? {
        guard let value else { return nil }
        if case .null = value { return nil }
        return try requireString(value, purpose)
    }

    /// A bound of `find` and its like, where None means no bound.
    func optionalBound(_ value: Value?) throws(JinjaError) -> Int? {
        guard let value else { return nil }
        if case .null = value { return nil }
        return try requireInteger(value, "slice indices")
    }

    /// How often to split or replace; a negative number means always.
    func optionalCount(_ value: Value?) throws(JinjaError) -> Int? {
        guard let value else { return nil }
        let count = try requireInteger(value, "the count")
        return count < 0 ? nil : count
    }

    func strings(_ pieces: [String]) throws(JinjaError) -> Value { try list(pieces.map(Value.string)) }

    func join(_ pieces: [String], separator: String) throws(JinjaError) -> Value {
        var count = 0
        for piece in pieces { count += piece.utf8.count }
        if let (bytes, overflows) = pieces.isEmpty
            ? nil : separator.utf8.count.multipliedReportingOverflow(by: pieces.count - 1)
        {
            count = overflows ? .max : count.addingSaturated(bytes)
        }
        try checkStringBytes(count)
        try charge(pieces.count)
        return try string(pieces.joined(separator: separator))
    }

    func replace(_ text: String, _ old: String, _ new: String, limit: Int?) throws(JinjaError) -> Value {
        try charge(bytes: (text.utf8.count + old.utf8.count) * 4)
        // As many replacements as there can be, checked before any memory is taken.
        let places = old.isEmpty ? text.utf8.count + 1 : text.utf8.count / old.utf8.count
        let (growth, overflows) = max(0, new.utf8.count - old.utf8.count)
            .multipliedReportingOverflow(by: min(places, limit ?? .max))
        let bound = overflows ? Int.max : text.utf8.count.addingSaturated(growth)
        if bound > limits.maxStringBytes {
            let occurrences =
                old.isEmpty ? places : ByteSearch(Array(old.utf8)).offsets(in: Array(text.utf8), limit: limit).count
            let (exact, overflows) = max(0, new.utf8.count - old.utf8.count).multipliedReportingOverflow(
                by: occurrences)
            try checkStringBytes(overflows ? .max : text.utf8.count.addingSaturated(exact))
        }
        return try string(text.replacing(old, with: new, limit: limit))
    }

    func pad(
        _ text: String, to width: Int, with fill: Unicode.Scalar, _ alignment: TextAlignment
    ) throws(JinjaError) -> String {
        let length = text.unicodeScalars.count
        guard width > length else { return text }
        let missing = width - length
        try checkStringBytes(missing)
        try charge(bytes: missing)
        let left =
            switch alignment {
            case .left: 0
            case .right: missing
            // Python puts the odd place to the left when the width is odd.
            case .center: missing / 2 + (missing & width & 1)
            }
        let fill = String(fill)
        return fill.repeated(left) + text + fill.repeated(missing - left)
    }
}
