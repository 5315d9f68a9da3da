/// Text under construction that may not grow beyond a bound: a value that shares parts of itself, or a namespace that holds
/// itself, can print longer than any memory.
struct TextWriter {
    private(set) var text = ""
    private var remainingBytes: Int
    private var level = 0

    init(maxBytes: Int) { remainingBytes = maxBytes }

    mutating func write(_ piece: String) throws(JinjaError) {
        remainingBytes -= piece.utf8.count
        guard remainingBytes >= 0 else { throw JinjaError(.limitExceeded, "a printed value is too long") }
        text += piece
    }

    mutating func write(_ scalar: Unicode.Scalar) throws(JinjaError) {
        remainingBytes -= 4
        guard remainingBytes >= 0 else { throw JinjaError(.limitExceeded, "a printed value is too long") }
        text.unicodeScalars.append(scalar)
    }

    /// Called around the elements of a container.
    mutating func enter() throws(JinjaError) {
        level += 1
        // Only namespaces can make a value deeper than its containers may be.
        guard level <= Limits.maxValueDepth + 2 else { throw JinjaError(.limitExceeded, "a printed value is nested too deeply") }
    }

    mutating func leave() { level -= 1 }
}
