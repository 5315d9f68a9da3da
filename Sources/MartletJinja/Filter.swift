/// A filter: a function whose first argument stands before the bar.
struct Filter: Sendable {
    typealias Body = @Sendable (Interpreter, Value, BoundArguments) throws(JinjaError) -> Value

    let name: String
    private let signature: Signature
    /// The body wants to know whether its value is escaped text; others get it as plain text.
    private let seesMarkup: Bool
    /// Escaped text gives escaped text.
    private let keepsMarkup: Bool
    private let body: Body

    init(
        _ name: String, _ parameters: [String] = [], required: Int = 0, seesMarkup: Bool = false,
        keepsMarkup: Bool = false, _ body: @escaping Body
    ) {
        self.name = name
        signature = .parameters(parameters, required: required)
        self.seesMarkup = seesMarkup
        self.keepsMarkup = keepsMarkup
        self.body = body
    }

    init(anything name: String, seesMarkup: Bool = false, _ body: @escaping Body) {
        self.name = name
        signature = .anything
        self.seesMarkup = seesMarkup
        keepsMarkup = false
        self.body = body
    }

    private init(alias name: String, of filter: Filter) {
        self.name = name
        signature = filter.signature
        seesMarkup = filter.seesMarkup
        keepsMarkup = filter.keepsMarkup
        body = filter.body
    }

    func call(_ interpreter: Interpreter, _ value: Value, _ arguments: Arguments) throws(JinjaError) -> Value {
        // Filters call filters: `x | map("map", "map", …)`.
        try interpreter.enter()
        defer { interpreter.leave() }
        let bound = try signature.bind(arguments, of: name, in: interpreter)
        guard case .markup(let text) = value, !seesMarkup else { return try body(interpreter, value, bound) }
        let result = try body(interpreter, .string(text), bound)
        return keepsMarkup ? try interpreter.markedUp(result) : result
    }

    /// Jinja2's builtin filters. Some have no place in a prompt: those fail when they are called, so that a template
    /// which never calls them renders.
    static let named: [String: Filter] = {
        var filters: [String: Filter] = [:]
        for filter in general + numbers + text + html + sequences + selection { filters[filter.name] = filter }
        for name in ["filesizeformat", "pprint", "random", "striptags", "urlize", "wordwrap", "xmlattr"] {
            filters[name] = Filter(anything: name) { (interpreter, _, _) throws(JinjaError) in
                throw interpreter.fail("the filter '\(name)' is not supported")
            }
        }
        for (alias, name) in ["d": "default", "count": "length", "e": "escape"] {
            filters[alias] = filters[name].map { Filter(alias: alias, of: $0) }
        }
        return filters
    }()

    private static let general: [Filter] = [
        Filter("default", ["default_value", "boolean"], seesMarkup: true) { _, value, arguments in
            let replaces = value.isUndefined || (arguments[1]?.isTrue ?? false) && !value.isTrue
            return replaces ? arguments[0] ?? .emptyString : value
        },
        Filter("length") { (interpreter, value, _) throws(JinjaError) in .int(try interpreter.length(of: value)) },
        Filter("string", keepsMarkup: true) { (interpreter, value, _) throws(JinjaError) in
            .string(try interpreter.text(value))
        },
        Filter("safe") { (interpreter, value, _) throws(JinjaError) in .markup(try interpreter.text(value)) },
        Filter("attr", ["name"], required: 1) { (interpreter, value, arguments) throws(JinjaError) in
            let name = try interpreter.requireString(arguments.value(0), "the attribute name")
            // Unlike `value.name`, the filter never looks at the keys of a dictionary.
            if case .dictionary = value, Method.named(name, of: value) == nil {
                return .undefined(.init(owner: "dict object", name: name))
            }
            return try interpreter.attribute(name, of: value)
        },
        Filter("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"]) {
            (interpreter, value, arguments) throws(JinjaError) in
            var format = JSONWriter()
            format.ensureASCII = arguments[0]?.isTrue ?? false
            switch arguments[1] {
            case nil, .some(.null): break
            case .some(let value) where value.asString != nil: format.indentation = value.asString
            case .some(let width):
                let width = max(0, try interpreter.requireInteger(width, "indent"))
                try interpreter.checkStringBytes(width)
                format.indentation = " ".repeated(width)
            }
            if format.indentation != nil { format.itemSeparator = "," }
            switch arguments[2] {
            case nil, .some(.null): break
            case .some(let separators):
                let pair = try interpreter.elements(of: separators)
                guard pair.count == 2 else { throw interpreter.fail("separators must be a pair") }
                format.itemSeparator = try interpreter.requireString(pair[0], "a separator")
                format.keySeparator = try interpreter.requireString(pair[1], "a separator")
            }
            format.sortKeys = arguments[3]?.isTrue ?? false
            return try interpreter.string(try interpreter.json(value, format))
        },
    ]
}
