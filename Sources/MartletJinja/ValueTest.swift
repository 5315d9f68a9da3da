/// A test: what stands behind `is`.
struct ValueTest: Sendable {
    typealias Body = @Sendable (Interpreter, Value, BoundArguments) throws(JinjaError) -> Bool

    let names: [String]
    private let signature: Signature
    private let body: Body

    private init(_ names: String..., parameters: [String] = [], body: @escaping Body) {
        self.names = names
        signature = .parameters(parameters, required: parameters.count)
        self.body = body
    }

    func call(_ interpreter: Interpreter, _ value: Value, _ arguments: Arguments) throws(JinjaError) -> Bool {
        try interpreter.charge()
        return try body(interpreter, value, try signature.bind(arguments, of: names[0], in: interpreter))
    }

    static let named: [String: ValueTest] = {
        var tests: [String: ValueTest] = [:]
        for test in types + numbers + comparisons {
            for name in test.names { tests[name] = test }
        }
        return tests
    }()

    private static let types: [ValueTest] = [
        ValueTest("defined") { _, value, _ in !value.isUndefined },
        ValueTest("undefined") { _, value, _ in value.isUndefined },
        ValueTest("none") { _, value, _ in
            if case .null = value { true } else { false }
        },
        ValueTest("boolean") { _, value, _ in
            if case .bool = value { true } else { false }
        },
        ValueTest("true") { _, value, _ in
            if case .bool(true) = value { true } else { false }
        },
        ValueTest("false") { _, value, _ in
            if case .bool(false) = value { true } else { false }
        },
        ValueTest("integer") { _, value, _ in
            switch value {
            case .int, .object(is LargeInteger): true
            default: false
            }
        },
        ValueTest("float") { _, value, _ in
            if case .float = value { true } else { false }
        },
        // Booleans are numbers in Python.
        ValueTest("number") { _, value, _ in
            if case .object(is LargeInteger) = value { true } else { value.asDouble != nil }
        },
        ValueTest("string") { _, value, _ in value.asString != nil },
        ValueTest("mapping") { _, value, _ in
            if case .dictionary = value { true } else { false }
        },
        // Anything with a length and elements: dictionaries, strings and undefined values too.
        ValueTest("sequence") { _, value, _ in
            switch value {
            case .undefined, .string, .markup, .list, .tuple, .dictionary, .object(is RangeObject): true
            default: false
            }
        },
        ValueTest("iterable") { _, value, _ in
            switch value {
            case .undefined, .string, .markup, .list, .tuple, .dictionary, .object(is RangeObject),
                .object(is DictionaryView), .object(is ElementIterator), .object(is LoopContext):
                true
            default: false
            }
        },
        ValueTest("callable") { _, value, _ in
            switch value {
            // An undefined value has a method that raises when it is called.
            case .undefined, .object(is Macro), .object(is GlobalFunction), .object(is BoundMethod),
                .object(is LoopContext),
                .object(is Joiner):
                true
            default: false
            }
        },
        ValueTest("escaped") { _, value, _ in
            if case .markup = value { true } else { false }
        },
        ValueTest("filter") { _, value, _ in value.asString.map { Filter.named[$0] != nil } ?? false },
        ValueTest("test") { _, value, _ in value.asString.map { ValueTest.named[$0] != nil } ?? false },
    ]

    private static let numbers: [ValueTest] = [
        ValueTest("odd") { (interpreter, value, _) throws(JinjaError) in
            try interpreter.calculate(.modulo, value, .int(2)).equals(.int(1))
        },
        ValueTest("even") { (interpreter, value, _) throws(JinjaError) in
            try interpreter.calculate(.modulo, value, .int(2)).equals(.int(0))
        },
        ValueTest("divisibleby", parameters: ["num"]) { (interpreter, value, arguments) throws(JinjaError) in
            try interpreter.calculate(.modulo, value, arguments.value(0)).equals(.int(0))
        },
        ValueTest("upper") { (interpreter, value, _) throws(JinjaError) in
            let text = try interpreter.text(value)
            try interpreter.charge(scalarsOf: text)
            return text.isPythonUppercase
        },
        ValueTest("lower") { (interpreter, value, _) throws(JinjaError) in
            let text = try interpreter.text(value)
            try interpreter.charge(scalarsOf: text)
            return text.isPythonLowercase
        },
    ]

    private static let comparisons: [ValueTest] = [
        ValueTest("eq", "equalto", "==", parameters: [""]) { (interpreter, value, arguments) throws(JinjaError) in
            try interpreter.compare(.equal, value, arguments.value(0))
        },
        ValueTest("ne", "!=", parameters: [""]) { (interpreter, value, arguments) throws(JinjaError) in
            try interpreter.compare(.notEqual, value, arguments.value(0))
        },
        ValueTest("lt", "lessthan", "<", parameters: [""]) { (interpreter, value, arguments) throws(JinjaError) in
            try interpreter.compare(.less, value, arguments.value(0))
        },
        ValueTest("le", "<=", parameters: [""]) { (interpreter, value, arguments) throws(JinjaError) in
            try interpreter.compare(.lessOrEqual, value, arguments.value(0))
        },
        ValueTest("gt", "greaterthan", ">", parameters: [""]) { (interpreter, value, arguments) throws(JinjaError) in
            try interpreter.compare(.greater, value, arguments.value(0))
        },
        ValueTest("ge", ">=", parameters: [""]) { (interpreter, value, arguments) throws(JinjaError) in
            try interpreter.compare(.greaterOrEqual, value, arguments.value(0))
        },
        ValueTest("in", parameters: ["seq"]) { (interpreter, value, arguments) throws(JinjaError) in
            try interpreter.compare(.in, value, arguments.value(0))
        },
        // Python's `is`; values here have no identity, so equal values of one type are the same.
        ValueTest("sameas", parameters: ["other"]) { (interpreter, value, arguments) throws(JinjaError) in
            guard value.typeName == arguments.value(0).typeName else { return false }
            return try interpreter.areEqual(value, arguments.value(0))
        },
    ]
}
