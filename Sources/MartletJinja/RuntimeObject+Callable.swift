/// What a call site passes.
struct Arguments {
    var positional: [Value] = []
    var keyword: [(name: String, value: Value)] = []

    var isEmpty: Bool { positional.isEmpty && keyword.isEmpty }
}

/// `{% macro %}`, and the body of `{% call %}` under the name `caller`.
final class Macro: RuntimeObject, @unchecked Sendable {
    let definition: MacroDefinition
    /// The scope it was defined in; nil at the top level. It may hold the macro itself.
    private(set) var closure: Scope?

    init(_ definition: MacroDefinition, closure: Scope?) {
        self.definition = definition
        self.closure = closure
    }

    override var typeName: String { "Macro" }
    override func release() { closure = nil }
    override func represent(to writer: inout TextWriter) throws(JinjaError) {
        try writer.write("<Macro \(definition.name.map { "'\($0)'" } ?? "anonymous")>")
    }
}

/// A function that templates find by name, such as `range`.
final class GlobalFunction: RuntimeObject, @unchecked Sendable {
    typealias Body = @Sendable (Interpreter, Arguments) throws(JinjaError) -> Value

    let name: String
    let body: Body

    init(_ name: String, _ body: @escaping Body) {
        self.name = name
        self.body = body
    }

    override var typeName: String { "function" }
    override func represent(to writer: inout TextWriter) throws(JinjaError) { try writer.write("<function \(name)>") }
}

/// `text.upper` without the call.
final class BoundMethod: RuntimeObject, @unchecked Sendable {
    let receiver: Value
    let name: String

    init(_ receiver: Value, _ name: String) {
        self.receiver = receiver
        self.name = name
    }

    override var typeName: String { "builtin_function_or_method" }
    override var depth: Int { receiver.depth + 1 }
    override func represent(to writer: inout TextWriter) throws(JinjaError) {
        try writer.write("<built-in method \(name) of \(receiver.typeName) object>")
    }
}

/// `cycler(…)`.
final class Cycler: RuntimeObject, @unchecked Sendable {
    let items: ValueList
    var position = 0

    init(_ items: ValueList) { self.items = items }

    override var typeName: String { "Cycler" }
    override var depth: Int { items.depth }
    var current: Value { items.elements[position] }

    func next() -> Value {
        defer { position = (position + 1) % items.elements.count }
        return current
    }
}

/// `joiner(separator)`: empty at the first call.
final class Joiner: RuntimeObject, @unchecked Sendable {
    let separator: Value
    var isUsed = false

    init(_ separator: Value) { self.separator = separator }

    override var typeName: String { "Joiner" }
    override var depth: Int { separator.depth + 1 }
}

/// The variable `loop`.
final class LoopContext: RuntimeObject, @unchecked Sendable {
    let items: ValueList
    let depth0: Int
    /// How a `recursive` loop is entered again; nil for others, and when the loop is over.
    var recursion: (statement: ForStatement, scope: Scope?)?
    var index0 = 0
    /// What `changed` was last called with, which may be this loop or hold another one, and so on.
    var lastChanged: Value?

    init(items: ValueList, depth0: Int) {
        self.items = items
        self.depth0 = depth0
    }

    override var typeName: String { "LoopContext" }
    override func release() { lastChanged = nil }
    override var depth: Int { items.depth }
    override func represent(to writer: inout TextWriter) throws(JinjaError) {
        try writer.write("<LoopContext \(index0 + 1)/\(items.elements.count)>")
    }

    func attribute(_ name: String) -> Value? {
        let elements = items.elements
        switch name {
        case "index": return .int(index0 + 1)
        case "index0": return .int(index0)
        case "revindex": return .int(elements.count - index0)
        case "revindex0": return .int(elements.count - index0 - 1)
        case "first": return .bool(index0 == 0)
        case "last": return .bool(index0 == elements.count - 1)
        case "length": return .int(elements.count)
        case "depth": return .int(depth0 + 1)
        case "depth0": return .int(depth0)
        case "previtem":
            guard index0 > 0 else { return .undefined(.init(hint: "there is no previous item")) }
            return elements[index0 - 1]
        case "nextitem":
            guard index0 + 1 < elements.count else { return .undefined(.init(hint: "there is no next item")) }
            return elements[index0 + 1]
        case "cycle", "changed": return .object(BoundMethod(.object(self), name))
        default: return nil
        }
    }
}
