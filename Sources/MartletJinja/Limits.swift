/// What one template may cost. Templates come from model repositories and their input from requests, so both are
/// hostile.
package struct Limits: Sendable {
    /// Work of one render. One step is one evaluated node, one element visited or copied, or `bytesPerStep` bytes of
    /// text produced or scanned, so the budget bounds time (about 100 ns a step) and allocation together.
    ///
    /// A conversation of 1,000 messages takes about 100,000 steps with the longest public templates.
    package var maxSteps = 3_000_000
    /// Nested evaluations: expressions, blocks and macro calls. Sized so that an optimized build stays within half of a
    /// 2 MiB stack, the smallest that threads usually have on Linux; about 50 nested macro calls.
    package var maxEvaluationDepth = 300
    /// Nested brackets, operators and blocks in the source, because the parser descends recursively.
    package var maxParserDepth = 100
    /// Published templates are below 40 kB.
    package var maxSourceBytes = 1 << 20
    /// A million tokens of prompt are about 4 MB of text.
    package var maxOutputBytes = 32 << 20
    /// One string, e.g. the result of `"x" * 10 ** 9`.
    package var maxStringBytes = 32 << 20
    /// One list, e.g. the result of `[0] * 10 ** 9`.
    package var maxElements = 1_000_000
    /// The same as the limit of Jinja's sandbox (`MAX_RANGE`).
    package var maxRangeLength = 100_000

    package init() {}

    /// Bytes of text that count as one step: scanning them takes about as long as evaluating one node.
    static let bytesPerStep = 64
    /// How deep lists and dictionaries may be nested. Printing, comparing and freeing them recurse, and no schema of a
    /// tool comes near.
    package static let maxValueDepth = 128
}
