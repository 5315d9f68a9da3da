// JSON as RFC 8259 and Python's `json.loads` read it: key order is kept, integers stay integers, NaN and Infinity are
// allowed.

extension Value {
    /// Reads one JSON document.
    package init(json: String) throws(JinjaError) {
        var reader = JSONReader(Array(json.utf8))
        self = try reader.readDocument()
    }

    /// Reads one JSON document that somebody sent: bytes that are not UTF-8, half of a surrogate pair and keys that come
    /// twice are errors.
    ///
    /// - Parameters:
    ///   - maxDepth: arrays and objects inside each other; `Limits.maxValueDepth` at most.
    ///   - maxValues: values in all of them. One takes 48 bytes and more, however short its text.
    package init(
        strictJSON bytes: [UInt8], maxDepth: Int = Limits.maxValueDepth, maxValues: Int = .max
    ) throws(JinjaError) {
        guard String(validating: bytes, as: UTF8.self) != nil else { throw JinjaError(.invalidJSON, "JSON: not UTF-8") }
        var reader = JSONReader(
            bytes, isStrict: true, maxDepth: min(maxDepth, Limits.maxValueDepth), maxValues: maxValues)
        self = try reader.readDocument()
    }

    /// The value as JSON without spaces. Only what templates make at run time has no JSON.
    ///
    /// - Parameter escapesLineEnds: U+0085, U+2028 and U+2029 are escaped, at which Python's `splitlines` breaks a line.
    package func json(escapesLineEnds: Bool = false) throws(JinjaError) -> String {
        var writer = TextWriter(maxBytes: Limits().maxOutputBytes, maxSteps: .max)
        let json = JSONWriter(escapesLineEnds: escapesLineEnds, itemSeparator: ",", keySeparator: ":")
        try json.write(self, to: &writer)
        return writer.text
    }
}

private struct JSONReader {
    private let bytes: [UInt8]
    private let isStrict: Bool
    private let maxDepth: Int
    private let maxValues: Int
    private var position = 0
    private var values = 0

    init(
        _ bytes: [UInt8], isStrict: Bool = false, maxDepth: Int = Limits.maxValueDepth, maxValues: Int = .max
    ) {
        self.bytes = bytes
        self.isStrict = isStrict
        self.maxDepth = maxDepth
        self.maxValues = maxValues
    }

    private func failure(_ message: String) -> JinjaError {
        JinjaError(.invalidJSON, "JSON, byte \(position): \(message)")
    }

    private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private mutating func skip(_ word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard position + count <= bytes.count else { return false }
        let matches = word.withUTF8Buffer { $0.elementsEqual(bytes[position..<position + count]) }
        if matches { position += count }
        return matches
    }

    mutating func readDocument() throws(JinjaError) -> Value {
        let value = try readValue(depth: 0)
        skipSpace()
        guard position == bytes.count else { throw failure("more text after the value") }
        return value
    }

    private mutating func readValue(depth: Int) throws(JinjaError) -> Value {
        skipSpace()
        values += 1
        guard values <= maxValues else { throw failure("more than \(maxValues) values") }
        if let byte = current, byte == UInt8(ascii: "{") || byte == UInt8(ascii: "["), depth == maxDepth {
            throw failure("nested more than \(maxDepth) deep")
        }
        switch current {
        case UInt8(ascii: "{"): return try readDictionary(depth: depth)
        case UInt8(ascii: "["): return try readList(depth: depth)
        case UInt8(ascii: "\""): return .string(try readString())
        default: break
        }
        if skip("null") { return .null }
        if skip("true") { return .bool(true) }
        if skip("false") { return .bool(false) }
        if skip("NaN") { return .float(.nan) }
        if skip("Infinity") { return .float(.infinity) }
        if skip("-Infinity") { return .float(-.infinity) }
        return try readNumber()
    }

    private mutating func readList(depth: Int) throws(JinjaError) -> Value {
        position += 1
        var elements: [Value] = []
        skipSpace()
        if skip("]") { return .list([]) }
        while true {
            elements.append(try readValue(depth: depth + 1))
            skipSpace()
            if skip("]") { return .list(elements) }
            guard skip(",") else { throw failure("expected ',' or ']'") }
        }
    }

    private mutating func readDictionary(depth: Int) throws(JinjaError) -> Value {
        position += 1
        var dictionary = ValueDictionary()
        skipSpace()
        if skip("}") { return .dictionary(dictionary) }
        while true {
            skipSpace()
            guard current == UInt8(ascii: "\"") else { throw failure("expected a key") }
            let key = try readString()
            skipSpace()
            guard skip(":") else { throw failure("expected ':'") }
            if isStrict, dictionary[key] != nil { throw failure("a key that comes twice") }
            dictionary.set(.string(key), try readValue(depth: depth + 1))
            skipSpace()
            if skip("}") { return .dictionary(dictionary) }
            guard skip(",") else { throw failure("expected ',' or '}'") }
        }
    }

    private mutating func readNumber() throws(JinjaError) -> Value {
        let start = position
        if current == UInt8(ascii: "-") { position += 1 }
        let digitsStart = position
        let digits = skipDigits()
        guard digits > 0 else { throw failure("expected a value") }
        guard digits == 1 || bytes[digitsStart] != UInt8(ascii: "0") else { throw failure("a number starts with 0") }
        var isInteger = true
        if current == UInt8(ascii: "."), position + 1 < bytes.count, isDigit(bytes[position + 1]) {
            isInteger = false
            position += 1
            _ = skipDigits()
        }
        if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
            isInteger = false
            position += 1
            if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { position += 1 }
            guard skipDigits() > 0 else { throw failure("an exponent without digits") }
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isInteger {
            if let value = Int(text) { return .int(value) }
            let maxDigits = LargeInteger.maxDigits
            guard digits <= maxDigits else { throw failure("an integer of more than \(maxDigits) digits") }
            return .object(LargeInteger(digits: text))
        }
        guard let value = Double(text) else { throw failure("malformed number") }
        return .float(value)
    }

    private func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }

    private mutating func skipDigits() -> Int {
        let start = position
        while let byte = current, isDigit(byte) { position += 1 }
        return position - start
    }

    private mutating func readString() throws(JinjaError) -> String {
        position += 1
        var text = ""
        var runStart = position
        while let byte = current {
            switch byte {
            case UInt8(ascii: "\""):
                text += String(decoding: bytes[runStart..<position], as: UTF8.self)
                position += 1
                return text
            case UInt8(ascii: "\\"):
                text += String(decoding: bytes[runStart..<position], as: UTF8.self)
                position += 1
                text.unicodeScalars.append(try readEscape())
                runStart = position
            case 0..<0x20: throw failure("a control character in a string")
            default: position += 1
            }
        }
        throw failure("a string without an end")
    }

    private mutating func readEscape() throws(JinjaError) -> Unicode.Scalar {
        guard let byte = current else { throw failure("a string without an end") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "/"): return "/"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): break
        default: throw failure("unknown escape")
        }
        let unit = try readHexadecimal()
        guard (0xD800..<0xDC00).contains(unit) else {
            if let scalar = Unicode.Scalar(unit) { return scalar }
            if isStrict { throw failure("half of a surrogate pair") }
            return "\u{FFFD}"
        }
        let afterFirst = position
        if skip("\\u") {
            let second = try readHexadecimal()
            if (0xDC00..<0xE000).contains(second),
                let scalar = Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (second - 0xDC00))
            {
                return scalar
            }
            position = afterFirst
        }
        if isStrict { throw failure("half of a surrogate pair") }
        // Half of a surrogate pair is not text; Swift strings cannot hold it.
        return "\u{FFFD}"
    }

    private mutating func readHexadecimal() throws(JinjaError) -> UInt32 {
        guard position + 4 <= bytes.count else { throw failure("a short \\u escape") }
        var value: UInt32 = 0
        for byte in bytes[position..<position + 4] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw failure("a malformed \\u escape")
            }
            value = value << 4 | UInt32(digit)
        }
        position += 4
        return value
    }
}
