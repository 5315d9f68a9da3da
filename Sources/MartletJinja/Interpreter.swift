/// Renders one template once: the variables, the output, and the account of what the render has cost.
final class Interpreter {
    let limits: Limits
    let clock: Clock

    /// Variables of the top level by symbol, filled from the context.
    private var topLevel: [Value?] = []
    private var names: [String] = []
    var scope: Scope?

    private(set) var output = ""
    /// Of the statement that runs; errors are reported there.
    var line = 1

    private(set) var steps = 0
    /// See `Limits.steps`.
    private(set) var maxSteps: Int
    private(set) var depth = 0

    /// What may hold a reference to itself, to be taken apart when the render ends.
    private var cyclic: [RuntimeObject] = []

    init(limits: Limits, clock: Clock) {
        self.limits = limits
        self.clock = clock
        maxSteps = limits.maxSteps
    }

    func render(_ body: [Statement], names: [String], context: [String: Value]) throws(JinjaError) -> String {
        self.names = names
        let input = names.map { context[$0] }
        topLevel = zip(names, input).map { $1 ?? Globals.named[$0] }
        defer { releaseCycles() }
        var weight = 0
        for case let value? in input {
            try checkDepth(value.depth)
            weight = weight.addingSaturated(value.weight)
        }
        maxSteps = limits.steps(forInput: weight)
        do {
            _ = try execute(body)
        } catch {
            var error = error
            error.line = error.line ?? line
            throw error
        }
        return output
    }

    /// Namespaces, macros and loops are reference-counted and can form cycles and long chains; emptied one by one, they
    /// neither leak nor are they freed recursively.
    private func releaseCycles() {
        for object in cyclic { object.release() }
        topLevel = []
        scope = nil
    }

    /// Keeps an object until the render ends, and takes it apart then.
    func keep(_ object: RuntimeObject) { cyclic.append(object) }

    func makeNamespace(_ attributes: ValueDictionary) -> Value {
        let namespace = Namespace(attributes)
        keep(namespace)
        return .object(namespace)
    }

    func makeMacro(_ definition: MacroDefinition) -> Macro {
        let macro = Macro(definition, closure: scope)
        keep(macro)
        return macro
    }

    // MARK: Variables

    func lookUp(_ symbol: Symbol) -> Value {
        var current = scope
        var distance = 0
        while let scope = current {
            if let value = scope[symbol] { return value }
            current = scope.parent
            distance += 1
            // A few blocks around cost nothing; the next charge checks the sum.
            if distance & 3 == 0 { steps += 1 }
        }
        return topLevel[symbol] ?? .undefined(.init(name: names[symbol]))
    }

    func assign(_ symbol: Symbol, _ value: Value) {
        if let scope { scope.set(symbol, value) } else { topLevel[symbol] = value }
    }

    func name(of symbol: Symbol) -> String { names[symbol] }

    /// Runs `body` with `scope` as the current scope.
    func within<Result>(_ inner: Scope, _ body: () throws(JinjaError) -> Result) throws(JinjaError) -> Result {
        let outer = scope
        scope = inner
        defer { scope = outer }
        return try body()
    }

    // MARK: Output

    func emit(_ text: String) throws(JinjaError) {
        try charge(bytes: text.utf8.count)
        output += text
        guard output.utf8.count <= limits.maxOutputBytes else {
            throw JinjaError(.limitExceeded, "the output is longer than \(limits.maxOutputBytes) bytes", line: line)
        }
    }

    /// The text that `body` emits.
    func capture(_ body: () throws(JinjaError) -> Void) throws(JinjaError) -> String {
        let outer = output
        output = ""
        do {
            try body()
        } catch {
            output = outer
            throw error
        }
        let captured = output
        output = outer
        return captured
    }

    // MARK: Cost

    func fail(_ message: String, _ kind: JinjaError.Kind = .invalidOperation) -> JinjaError {
        JinjaError(kind, message, line: line)
    }

    func charge(_ count: Int = 1) throws(JinjaError) {
        let (sum, overflow) = steps.addingReportingOverflow(count)
        guard !overflow, sum <= maxSteps else {
            throw fail("the template takes more than \(maxSteps) steps", .limitExceeded)
        }
        steps = sum
    }

    func charge(bytes: Int) throws(JinjaError) { try charge(bytes / Limits.bytesPerStep) }

    /// Pays for looking at every scalar of the text. What Unicode's tables say about one takes as long to find as
    /// evaluating a node; ASCII needs no table, and eight of its characters take as long.
    func charge(scalarsOf text: String) throws(JinjaError) {
        try charge(text.isASCII ? text.utf8.count / 8 : text.utf8.count)
    }

    func enter() throws(JinjaError) {
        depth += 1
        guard depth <= limits.maxEvaluationDepth else {
            throw fail("evaluation is nested more than \(limits.maxEvaluationDepth) levels deep", .limitExceeded)
        }
        try charge()
    }

    func leave() { depth -= 1 }

    // MARK: New values

    func string(_ text: String) throws(JinjaError) -> Value {
        try charge(bytes: text.utf8.count)
        try checkStringBytes(text.utf8.count)
        return .string(text)
    }

    func checkStringBytes(_ count: Int) throws(JinjaError) {
        guard count <= limits.maxStringBytes else {
            throw fail("a string is longer than \(limits.maxStringBytes) bytes", .limitExceeded)
        }
    }

    func list(_ elements: [Value]) throws(JinjaError) -> Value { .list(try makeList(elements)) }
    func tuple(_ elements: [Value]) throws(JinjaError) -> Value { .tuple(try makeList(elements)) }

    /// What a lazy filter returns.
    func iterator(_ elements: [Value], name: String = "generator") throws(JinjaError) -> Value {
        .object(ElementIterator(try makeList(elements), name: name))
    }

    func makeList(_ elements: [Value]) throws(JinjaError) -> ValueList {
        try charge(elements.count)
        guard elements.count <= limits.maxElements else {
            throw fail("a list has more than \(limits.maxElements) elements", .limitExceeded)
        }
        let list = ValueList(elements)
        try checkDepth(list.depth)
        return list
    }

    func checkDepth(_ depth: Int) throws(JinjaError) {
        guard depth <= Limits.maxValueDepth else {
            throw fail("values are nested more than \(Limits.maxValueDepth) levels deep", .limitExceeded)
        }
    }

    func dictionary(_ entries: [(Value, Value)]) throws(JinjaError) -> Value {
        .dictionary(try makeDictionary(entries))
    }

    func makeDictionary(_ entries: [(Value, Value)]) throws(JinjaError) -> ValueDictionary {
        var dictionary = ValueDictionary()
        for (key, value) in entries {
            try checkKey(key)
            dictionary.set(key, value)
        }
        try checkDepth(dictionary.depth)
        return dictionary
    }

    /// Pays for hashing the key.
    func checkKey(_ key: Value) throws(JinjaError) {
        try charge(key.weight)
        guard key.isHashable else { throw fail("unhashable type: '\(key.typeName)'") }
    }
}
