extension Interpreter {
    func call(_ function: Value, _ arguments: Arguments) throws(JinjaError) -> Value {
        try refuseUndefined(function)
        try charge()
        guard case .object(let object) = function else { throw fail("'\(function.typeName)' object is not callable") }
        switch object {
        case let function as GlobalFunction: return try function.body(self, arguments)
        case let macro as Macro: return try call(macro, arguments)
        case let method as BoundMethod:
            guard let body = Method.named(method.name, of: method.receiver) else { break }
            return try body.call(self, method.receiver, arguments)
        case let loop as LoopContext:
            let bound = try arguments.bound(to: ["iterable"], required: 1, of: "loop", in: self)
            return try recurse(into: loop, over: bound.value(0))
        case let joiner as Joiner:
            _ = try arguments.bound(to: [], required: 0, of: "joiner", in: self)
            defer { joiner.isUsed = true }
            return joiner.isUsed ? joiner.separator : .emptyString
        default: break
        }
        throw fail("'\(object.typeName)' object is not callable")
    }

    private func call(_ macro: Macro, _ arguments: Arguments) throws(JinjaError) -> Value {
        let definition = macro.definition
        let inner = Scope(parent: macro.closure)
        let parameters = definition.parameters
        let title = "macro '\(definition.name ?? "caller")'"
        let callLine = line
        let callScope = scope
        try enter()
        defer {
            leave()
            scope = callScope
            line = callLine
        }
        scope = inner

        var keyword = arguments.keyword
        for (index, value) in arguments.positional.prefix(parameters.count).enumerated() {
            inner.set(parameters[index].symbol, value)
        }
        // In order, because a default may use the parameters before it.
        for parameter in parameters.dropFirst(arguments.positional.count) {
            if let index = keyword.firstIndex(where: { $0.name == parameter.name }) {
                inner.set(parameter.symbol, keyword.remove(at: index).value)
            } else if let defaultValue = parameter.defaultValue {
                inner.set(parameter.symbol, try evaluate(defaultValue))
            } else {
                inner.set(
                    parameter.symbol, .undefined(.init(hint: "parameter '\(parameter.name)' was not provided")))
            }
        }
        if let caller = definition.caller {
            let index = keyword.firstIndex { $0.name == "caller" }
            inner.set(
                caller, index.map { keyword.remove(at: $0).value } ?? .undefined(.init(hint: "No caller defined")))
        }
        if let kwargs = definition.kwargs {
            inner.set(kwargs, try dictionary(keyword.map { (.string($0.name), $0.value) }))
        } else if let first = keyword.first {
            throw fail("\(title) takes no keyword argument '\(first.name)'")
        }
        let excess = Array(arguments.positional.dropFirst(parameters.count))
        if let varargs = definition.varargs {
            inner.set(varargs, try tuple(excess))
        } else if !excess.isEmpty {
            throw fail("\(title) takes not more than \(parameters.count) argument(s)")
        }
        return try string(try capture { () throws(JinjaError) in _ = try execute(definition.body) })
    }
}

/// Arguments by the position of their parameter.
struct BoundArguments {
    var values: [Value?] = []
    /// What the call passed, for functions that take any arguments.
    var all = Arguments()

    subscript(index: Int) -> Value? { values[index] }

    /// For required parameters.
    func value(_ index: Int) -> Value { values[index] ?? .null }
}

extension Arguments {
    /// Assigns arguments to parameters as a Python call does. An empty name stands for a parameter that is only
    /// positional.
    func bound(
        to parameters: [String], required: Int, of function: String, in interpreter: Interpreter
    ) throws(JinjaError) -> BoundArguments {
        guard positional.count <= parameters.count else {
            throw interpreter.fail(
                "\(function)() takes at most \(parameters.count) arguments (\(positional.count) given)")
        }
        var values: [Value?] = positional
        values += Array(repeating: nil, count: parameters.count - positional.count)
        for (name, value) in keyword {
            guard !name.isEmpty, let index = parameters.firstIndex(of: name) else {
                throw interpreter.fail("\(function)() got an unexpected keyword argument '\(name)'")
            }
            guard values[index] == nil else {
                throw interpreter.fail("\(function)() got multiple values for argument '\(name)'")
            }
            values[index] = value
        }
        for index in 0..<required where values[index] == nil {
            throw interpreter.fail("\(function)() is missing a required argument")
        }
        return BoundArguments(values: values, all: self)
    }
}

/// How a filter, test or method takes its arguments.
enum Signature: Sendable {
    case parameters([String], required: Int)
    case anything

    func bind(_ arguments: Arguments, of function: String, in interpreter: Interpreter) throws(JinjaError)
        -> BoundArguments
    {
        switch self {
        case .parameters(let names, let required):
            try arguments.bound(to: names, required: required, of: function, in: interpreter)
        case .anything: BoundArguments(all: arguments)
        }
    }
}
