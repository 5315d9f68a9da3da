/// The functions that every template finds: Jinja2's, and those that transformers adds.
enum Globals {
    static let named: [String: Value] = {
        var values: [String: Value] = [:]
        for (name, body) in functions { values[name] = .object(GlobalFunction(name, body)) }
        return values
    }()

    private static let functions: [String: GlobalFunction.Body] = [
        "range": range, "dict": dictionary, "namespace": namespace, "cycler": cycler, "joiner": joiner,
        "raise_exception": raiseException, "strftime_now": currentTime,
    ]

    private static func range(_ interpreter: Interpreter, _ arguments: Arguments) throws(JinjaError) -> Value {
        let bound = try arguments.bound(to: ["", "", ""], required: 1, of: "range", in: interpreter)
        var numbers: [Int] = []
        for case let value? in bound.values { numbers.append(try interpreter.requireInteger(value, "range arguments")) }
        let start = numbers.count == 1 ? 0 : numbers[0]
        let stop = numbers.count == 1 ? numbers[0] : numbers[1]
        let step = numbers.count == 3 ? numbers[2] : 1
        guard step != 0 else { throw interpreter.fail("range() step must not be zero") }
        // Unsigned, because the distance of two Ints does not fit an Int.
        var count: UInt = 0
        if step > 0 ? start < stop : start > stop {
            let distance = step > 0 ? UInt(bitPattern: stop &- start) : UInt(bitPattern: start &- stop)
            count = (distance - 1) / step.magnitude + 1
        }
        guard count <= UInt(interpreter.limits.maxRangeLength) else {
            throw interpreter.fail(
                "a range has more than \(interpreter.limits.maxRangeLength) elements", .limitExceeded)
        }
        return .object(RangeObject(start: start, stop: stop, step: step, count: Int(count)))
    }

    /// The entries of `dict(mapping or pairs, key=value, …)`.
    private static func entries(
        _ interpreter: Interpreter, _ arguments: Arguments, of function: String
    ) throws(JinjaError) -> ValueDictionary {
        guard arguments.positional.count <= 1 else {
            throw interpreter.fail("\(function) expected at most 1 argument, got \(arguments.positional.count)")
        }
        var pairs: [(Value, Value)] = []
        switch arguments.positional.first {
        case nil: break
        case .dictionary(let dictionary): pairs = Array(zip(dictionary.keys, dictionary.values))
        case .some(let value):
            for element in try interpreter.elements(of: value) {
                let pair = try interpreter.elements(of: element)
                guard pair.count == 2 else {
                    throw interpreter.fail("a dictionary entry has length \(pair.count); 2 is required")
                }
                pairs.append((pair[0], pair[1]))
            }
        }
        try interpreter.charge(pairs.count)
        return try interpreter.makeDictionary(pairs + arguments.keyword.map { (.string($0.name), $0.value) })
    }

    private static func dictionary(_ interpreter: Interpreter, _ arguments: Arguments) throws(JinjaError) -> Value {
        .dictionary(try entries(interpreter, arguments, of: "dict"))
    }

    private static func namespace(_ interpreter: Interpreter, _ arguments: Arguments) throws(JinjaError) -> Value {
        interpreter.makeNamespace(try entries(interpreter, arguments, of: "namespace"))
    }

    private static func cycler(_ interpreter: Interpreter, _ arguments: Arguments) throws(JinjaError) -> Value {
        guard !arguments.positional.isEmpty, arguments.keyword.isEmpty else {
            throw interpreter.fail("cycler() needs at least one item")
        }
        return .object(Cycler(try interpreter.makeList(arguments.positional)))
    }

    private static func joiner(_ interpreter: Interpreter, _ arguments: Arguments) throws(JinjaError) -> Value {
        let bound = try arguments.bound(to: ["sep"], required: 0, of: "joiner", in: interpreter)
        let joiner = Joiner(bound[0] ?? .string(", "))
        try interpreter.checkDepth(joiner.depth)
        return .object(joiner)
    }

    private static func raiseException(_ interpreter: Interpreter, _ arguments: Arguments) throws(JinjaError) -> Value {
        let bound = try arguments.bound(to: ["message"], required: 1, of: "raise_exception", in: interpreter)
        throw interpreter.fail(try interpreter.text(bound.value(0)), .raised)
    }

    private static func currentTime(_ interpreter: Interpreter, _ arguments: Arguments) throws(JinjaError) -> Value {
        let bound = try arguments.bound(to: ["format"], required: 1, of: "strftime_now", in: interpreter)
        let format = try interpreter.requireString(bound.value(0), "the format of strftime_now")
        try interpreter.charge(format.utf8.count)
        guard let text = interpreter.clock.formatted(format) else {
            throw interpreter.fail("the format of strftime_now gives too long a text")
        }
        return try interpreter.string(text)
    }
}
