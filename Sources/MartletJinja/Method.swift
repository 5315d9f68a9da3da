/// A method of Python's built-in types that templates may call.
struct Method: Sendable {
    typealias Body = @Sendable (Interpreter, Value, BoundArguments) throws(JinjaError) -> Value

    let name: String
    let signature: Signature
    let body: Body

    init(_ name: String, _ parameters: [String] = [], required: Int = 0, _ body: @escaping Body) {
        self.name = name
        signature = .parameters(parameters, required: required)
        self.body = body
    }

    init(anything name: String, _ body: @escaping Body) {
        self.name = name
        signature = .anything
        self.body = body
    }

    func call(_ interpreter: Interpreter, _ receiver: Value, _ arguments: Arguments) throws(JinjaError) -> Value {
        guard case .markup = receiver else {
            return try body(interpreter, receiver, try signature.bind(arguments, of: name, in: interpreter))
        }
        let escaped = try interpreter.escapedArguments(arguments, ofMarkupMethod: name)
        let bound = try signature.bind(escaped, of: name, in: interpreter)
        return try interpreter.markedUp(try body(interpreter, receiver.plain, bound))
    }

    static func named(_ name: String, of value: Value) -> Method? {
        switch value {
        case .string, .markup: ofStrings[name]
        case .dictionary: ofDictionaries[name]
        case .list, .tuple: ofSequences[name]
        case .float: ofFloats[name]
        case .object(let object):
            switch object {
            case is LoopContext: ofLoops[name]
            case is Cycler: ofCyclers[name]
            default: nil
            }
        default: nil
        }
    }

    /// Attributes that the immutable sandbox refuses: methods that would change a list or dictionary, and Python's own
    /// attributes of all objects.
    static func isUnsafe(_ name: String, of value: Value) -> Bool {
        if name.utf8.first == UInt8(ascii: "_"), ownAttributes.contains(name) { return true }
        return switch value {
        case .list: ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"].contains(name)
        case .dictionary: ["clear", "pop", "popitem", "setdefault", "update"].contains(name)
        default: false
        }
    }

    private static let ownAttributes = Set(
        [
            "class", "class_getitem", "contains", "delattr", "delitem", "dir", "doc", "eq", "format", "ge",
            "getattribute", "getitem", "getstate", "gt", "hash", "init", "init_subclass", "ior", "iter", "le", "len",
            "lt", "ne", "new", "or", "reduce", "reduce_ex", "repr", "reversed", "ror", "setattr", "setitem", "sizeof",
            "str", "subclasshook",
        ].map { "__\($0)__" })

    static func table(_ methods: [Method]) -> [String: Method] {
        Dictionary(methods.map { ($0.name, $0) }, uniquingKeysWith: { $1 })
    }

    // MARK: Containers

    private static let ofDictionaries = table([
        Method("keys") { _, value, _ in view(.keys, value) },
        Method("values") { _, value, _ in view(.values, value) },
        Method("items") { _, value, _ in view(.items, value) },
        Method("copy") { _, value, _ in value },
        Method("get", ["", ""], required: 1) { (interpreter, value, arguments) throws(JinjaError) in
            guard case .dictionary(let dictionary) = value else { return .null }
            try interpreter.checkKey(arguments.value(0))
            return dictionary[arguments.value(0)] ?? arguments.value(1)
        },
    ])

    private static func view(_ kind: DictionaryView.Kind, _ value: Value) -> Value {
        guard case .dictionary(let dictionary) = value else { return .null }
        return .object(DictionaryView(kind, dictionary))
    }

    private static let ofSequences = table([
        Method("copy") { _, value, _ in value },
        Method("count", [""], required: 1) { (interpreter, value, arguments) throws(JinjaError) in
            var count = 0
            for element in try interpreter.elements(of: value)
            where try interpreter.areSame(element, arguments.value(0)) {
                count += 1
            }
            return .int(count)
        },
        Method("index", ["", "", ""], required: 1) { (interpreter, value, arguments) throws(JinjaError) in
            let elements = try interpreter.elements(of: value)
            var bounds: [Int?] = []
            for index in 1...2 {
                bounds.append(
                    try arguments[index].map { value throws(JinjaError) in
                        try interpreter.requireInteger(value, "slice indices")
                    })
            }
            let (start, count) = Slice(start: bounds[0], stop: bounds[1]).resolved(count: elements.count)
            for index in start..<start + count where try interpreter.areSame(elements[index], arguments.value(0)) {
                return .int(index)
            }
            throw interpreter.fail("\(try interpreter.representation(arguments.value(0))) is not in \(value.typeName)")
        },
    ])

    private static let ofFloats = table([
        Method("is_integer") { _, value, _ in
            guard case .float(let number) = value else { return .null }
            return .bool(number.isFinite && number == number.rounded())
        }
    ])

    // MARK: Loops and cyclers

    private static let ofLoops = table([
        Method(anything: "cycle") { (interpreter, value, arguments) throws(JinjaError) in
            let items = arguments.all.positional
            guard case .object(let object as LoopContext) = value, !items.isEmpty else {
                throw interpreter.fail("no items for cycling given")
            }
            return items[object.index0 % items.count]
        },
        Method(anything: "changed") { (interpreter, value, arguments) throws(JinjaError) in
            guard case .object(let object as LoopContext) = value else { return .null }
            let current = try interpreter.tuple(arguments.all.positional)
            defer { object.lastChanged = current }
            guard let last = object.lastChanged else {
                interpreter.keep(object)
                return .bool(true)
            }
            return .bool(!(try interpreter.areEqual(last, current)))
        },
    ])

    private static let ofCyclers = table([
        Method("next") { _, value, _ in
            guard case .object(let object as Cycler) = value else { return .null }
            return object.next()
        },
        Method("reset") { _, value, _ in
            if case .object(let object as Cycler) = value { object.position = 0 }
            return .null
        },
    ])
}
