/// Text under construction that may not grow beyond a bound: a value that shares parts of itself, or a namespace that
/// holds itself, can print longer than any memory.
struct TextWriter {
    private(set) var text = ""
    private let maxBytes: Int
    private let maxSteps: Int
    /// In 1/16 of a step.
    private var cost = 0
    private var level = 0

    init(maxBytes: Int, maxSteps: Int) {
        self.maxBytes = maxBytes
        self.maxSteps = maxSteps
    }

    /// What writing has cost so far.
    var steps: Int { cost / 16 }

    mutating func write(_ piece: String) throws(JinjaError) {
        text += piece
        try charge(16 + piece.utf8.count)
    }

    /// Writes text with escapes for some scalars: `mayEscape` sees bytes, and `escape` gives the escape of a scalar
    /// that begins with such a byte, or nil to leave it as it is.
    mutating func write(
        _ text: String, mayEscape: (UInt8) -> Bool, escape: (Unicode.Scalar) -> String?
    ) throws(JinjaError) {
        let bytes = Array(text.utf8)
        // An escape is at most six times as long as its scalar; no more than that is allocated before the check below.
        try charge(16 + bytes.count)
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var runStart = 0
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            let start = index
            index += byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
            guard mayEscape(byte) else { continue }
            let scalar = byte < 0x80 ? Unicode.Scalar(byte) : String(bytes: bytes[start..<index]).unicodeScalars.first
            guard let scalar, let escape = escape(scalar) else { continue }
            result += bytes[runStart..<start]
            result += escape.utf8
            runStart = index
        }
        if runStart == 0 {
            self.text += text
        } else {
            result += bytes[runStart...]
            self.text += String(decoding: result, as: UTF8.self)
        }
        try charge(max(0, result.count - bytes.count))
    }

    private mutating func charge(_ cost: Int) throws(JinjaError) {
        self.cost += cost
        guard steps <= maxSteps, text.utf8.count <= maxBytes else {
            throw JinjaError(.limitExceeded, "a printed value is too long")
        }
    }

    /// Called around the elements of a container.
    mutating func enter() throws(JinjaError) {
        level += 1
        // Only namespaces can make a value deeper than its containers may be.
        guard level <= Limits.maxValueDepth + 2 else {
            throw JinjaError(.limitExceeded, "a printed value is nested too deeply")
        }
    }

    mutating func leave() { level -= 1 }
}
