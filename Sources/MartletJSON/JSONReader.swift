/// A pull parser of JSON (RFC 8259) over bytes.
///
/// Vocabularies are objects of a quarter of a million members. They are read straight into tables: no tree, no `String`, no
/// dictionary, so that keys that differ only in normalization stay apart. Smaller documents are read as a `JSONValue`.
///
/// Hostile input costs no more than its size: nesting is bounded, and nothing is allocated ahead of the bytes that fill it.
package struct JSONReader {
    private static let maximumDepth = 64

    private let bytes: [UInt8]
    private var index = 0
    private var depth = 0
    /// The last string that was read, without its escapes.
    package private(set) var scratch: [UInt8] = []

    /// - Throws: `JSONError` if `bytes` are not UTF-8.
    package init(_ bytes: [UInt8]) throws(JSONError) {
        guard String(validating: bytes, as: UTF8.self) != nil else { throw JSONError(message: "the text is not UTF-8") }
        self.bytes = bytes
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { index = 3 }
    }

    /// An error that says where the reader stands.
    package func error(_ what: String) -> JSONError { JSONError(message: "\(what) at byte \(index)") }

    // MARK: Structure

    private mutating func peek() -> UInt8? {
        while index < bytes.count {
            switch bytes[index] {
            case 0x20, 0x09, 0x0A, 0x0D: index += 1
            default: return bytes[index]
            }
        }
        return nil
    }

    private mutating func accept(_ byte: UInt8) -> Bool {
        guard peek() == byte else { return false }
        index += 1
        return true
    }

    private mutating func expect(_ character: Unicode.Scalar) throws(JSONError) {
        guard accept(UInt8(ascii: character)) else { throw error("expected \(character)") }
    }

    private mutating func enter() throws(JSONError) {
        depth += 1
        guard depth <= Self.maximumDepth else { throw error("nested too deeply") }
    }

    /// Reads an object; for each member `body` gets the reader with the key in `scratch` and must read the value.
    package mutating func object(_ body: (inout JSONReader) throws(JSONError) -> Void) throws(JSONError) {
        try expect("{")
        try enter()
        if !accept(UInt8(ascii: "}")) {
            repeat {
                try string()
                try expect(":")
                try body(&self)
            } while accept(UInt8(ascii: ","))
            try expect("}")
        }
        depth -= 1
    }

    /// Reads an array; `body` must read one element.
    package mutating func array(_ body: (inout JSONReader) throws(JSONError) -> Void) throws(JSONError) {
        try expect("[")
        try enter()
        if !accept(UInt8(ascii: "]")) {
            repeat { try body(&self) } while accept(UInt8(ascii: ","))
            try expect("]")
        }
        depth -= 1
    }

    /// Whether an array comes next.
    package mutating func isAtArray() -> Bool { peek() == UInt8(ascii: "[") }

    package mutating func isAtString() -> Bool { peek() == UInt8(ascii: "\"") }

    package mutating func isAtObject() -> Bool { peek() == UInt8(ascii: "{") }

    package mutating func end() throws(JSONError) {
        guard peek() == nil else { throw error("something after the end") }
    }

    // MARK: Scalars

    /// Reads a string into `scratch`.
    package mutating func string() throws(JSONError) {
        try expect("\"")
        scratch.removeAll(keepingCapacity: true)
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "\""): return
            case UInt8(ascii: "\\"): try escape()
            case 0..<0x20: throw error("a control character in a string")
            default: scratch.append(byte)
            }
        }
        throw error("unterminated string")
    }

    private mutating func escape() throws(JSONError) {
        guard index < bytes.count else { throw error("unterminated string") }
        let byte = bytes[index]
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): scratch.append(byte)
        case UInt8(ascii: "b"): scratch.append(0x08)
        case UInt8(ascii: "f"): scratch.append(0x0C)
        case UInt8(ascii: "n"): scratch.append(0x0A)
        case UInt8(ascii: "r"): scratch.append(0x0D)
        case UInt8(ascii: "t"): scratch.append(0x09)
        case UInt8(ascii: "u"):
            var value = try fourDigits()
            if (0xD800..<0xDC00).contains(value), index + 1 < bytes.count, bytes[index] == UInt8(ascii: "\\"),
                bytes[index + 1] == UInt8(ascii: "u")
            {
                index += 2
                let low = try fourDigits()
                guard (0xDC00..<0xE000).contains(low) else { throw error("a lone surrogate") }
                value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(value) else { throw error("a lone surrogate") }
            scratch.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
        default: throw error("an unknown escape")
        }
    }

    private mutating func fourDigits() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard index < bytes.count, let digit = Character(Unicode.Scalar(bytes[index])).hexDigitValue else {
                throw error("a bad \\u escape")
            }
            value = value << 4 | UInt32(digit)
            index += 1
        }
        return value
    }

    /// Reads a number that is written as an integer and fits the type.
    package mutating func integer<Value: FixedWidthInteger>(_: Value.Type = Value.self) throws(JSONError) -> Value {
        guard let first = peek() else { throw error("expected a number") }
        let isNegative = first == UInt8(ascii: "-")
        if isNegative { index += 1 }
        var value: Value = 0
        let start = index
        while index < bytes.count, (0x30...0x39).contains(bytes[index]) {
            let digit = Value(truncatingIfNeeded: bytes[index] - 0x30)
            let (product, isTooLarge) = value.multipliedReportingOverflow(by: 10)
            let (sum, overflows) =
                isNegative
                ? product.subtractingReportingOverflow(digit) : product.addingReportingOverflow(digit)
            guard !isTooLarge, !overflows else { throw error("a number out of range") }
            value = sum
            index += 1
        }
        guard index > start, index == bytes.count || !".eE".utf8.contains(bytes[index]) else {
            throw error("expected an integer")
        }
        return value
    }

    package mutating func number() throws(JSONError) -> Double {
        _ = peek()
        let start = index
        while index < bytes.count, "+-.eE0123456789".utf8.contains(bytes[index]) { index += 1 }
        guard let value = Double(String(decoding: bytes[start..<index], as: UTF8.self)) else {
            throw error("expected a number")
        }
        return value
    }

    private mutating func literal(_ text: StaticString) throws(JSONError) {
        let length = text.utf8CodeUnitCount
        let expected = UnsafeBufferPointer(start: text.utf8Start, count: length)
        guard bytes[index...].starts(with: expected) else { throw error("expected \(text)") }
        index += length
    }

    /// Reads any value as a tree.
    package mutating func value() throws(JSONError) -> JSONValue {
        switch peek() {
        case UInt8(ascii: "{"):
            var members: [String: JSONValue] = [:]
            try object { reader throws(JSONError) in
                let key = String(decoding: reader.scratch, as: UTF8.self)
                members[key] = try reader.value()
            }
            return .object(members)
        case UInt8(ascii: "["):
            var elements: [JSONValue] = []
            try array { reader throws(JSONError) in elements.append(try reader.value()) }
            return .array(elements)
        case UInt8(ascii: "\""):
            try string()
            return .string(scratch)
        case UInt8(ascii: "t"):
            try literal("true")
            return .bool(true)
        case UInt8(ascii: "f"):
            try literal("false")
            return .bool(false)
        case UInt8(ascii: "n"):
            try literal("null")
            return .null
        default: return .number(try number())
        }
    }
}
