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
    private(set) var depth = 0

    /// What may hold a reference to itself, to be taken apart when the render ends.
    private var namespaces: [Namespace] = []
    private var macros: [Macro] = []

    init(limits: Limits, clock: Clock) {
        self.limits = limits
        self.clock = clock
    }

    func render(_ body: [Statement], names: [String], context: [String: Value]) throws(JinjaError) -> String {
        self.names = names
        topLevel = names.map { context[$0] ?? Globals.named[$0] }
        defer { releaseCycles() }
        for case let value? in topLevel { try checkDepth(value.depth) }
        do {
            _ = try execute(body)
        } catch {
            var error = error
            error.line = error.line ?? line
            throw error
        }
        return output
    }

    /// Namespaces and macros are reference-counted and can form cycles and long chains; emptied one by one, they
    /// neither leak nor are they freed recursively.
    private func releaseCycles() {
        for namespace in namespaces { namespace.attributes = ValueDictionary() }
        for macro in macros { macro.closure = nil }
        topLevel = []
        scope = nil
    }

    func makeNamespace(_ attributes: ValueDictionary) -> Value {
        let namespace = Namespace(attributes)
        namespaces.append(namespace)
        return .object(namespace)
    }

    func makeMacro(_ definition: MacroDefinition) -> Macro {
        let macro = Macro(definition, closure: scope)
        macros.append(macro)
        return macro
    }

    // MARK: Variables

    func lookUp(_ symbol: Symbol) -> Value {
        var current = scope
        while let scope = current {
            if let value = scope[symbol] { return value }
            current = scope.parent
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
        guard !overflow, sum <= limits.maxSteps else {
            throw fail("the template takes more than \(limits.maxSteps) steps", .limitExceeded)
        }
        steps = sum
    }

    func charge(bytes: Int) throws(JinjaError) { try charge(bytes / Limits.bytesPerStep) }

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
