/// What one template may cost. Templates come from model repositories and their input from requests, so both are
/// hostile.
package struct Limits: Sendable {
    /// Work of one render with little input. One step is one evaluated node, one element visited or copied, or
    /// `bytesPerStep` bytes of text produced or scanned, so the budget bounds time (about 100 ns a step) and allocation
    /// together.
    package var maxSteps = 3_000_000
    /// What each unit of the input's weight (see `Value.weight`: about one per value and per 64 bytes of text) adds.
    ///
    /// Many public templates look through all messages at each call of a function, so that the work grows with the
    /// square of the conversation: 2,000 messages, half of them calls, weigh about 35,000 and take some 10 to 30 million
    /// steps with those of Command R7B, DeepSeek V3.2, Gemma 4 and gpt-oss.
    package var stepsPerWeight = 2_000
    /// However heavy the input is. Several seconds, where only a long conversation gets them.
    package var maxStepsWithInput = 64_000_000
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

    /// The budget of a render whose variables have this weight.
    func steps(forInput weight: Int) -> Int {
        let (growth, overflows) = weight.multipliedReportingOverflow(by: stepsPerWeight)
        let sum = overflows ? Int.max : maxSteps.addingSaturated(growth)
        return max(maxSteps, min(sum, maxStepsWithInput))
    }

    /// Bytes of text that count as one step: scanning them takes about as long as evaluating one node.
    static let bytesPerStep = 64
    /// How deep lists and dictionaries may be nested. Printing, comparing and freeing them recurse, and no schema of a
    /// tool comes near.
    package static let maxValueDepth = 128
}
