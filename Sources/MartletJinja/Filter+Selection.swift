extension Filter {
    static let selection: [Filter] = [
        Filter(anything: "map") { (interpreter, value, arguments) throws(JinjaError) in
            try map(interpreter, value, arguments.all)
        },
        select("select", keeps: true, byAttribute: false),
        select("reject", keeps: false, byAttribute: false),
        select("selectattr", keeps: true, byAttribute: true),
        select("rejectattr", keeps: false, byAttribute: true),
    ]

    /// `map("filter", arguments…)` or `map(attribute="name", default=…)`.
    private static func map(_ interpreter: Interpreter, _ value: Value, _ arguments: Arguments) throws(JinjaError)
        -> Value
    {
        // Jinja2 passes over what is false, such as None, before it looks at anything else.
        guard value.isTrue else { return try interpreter.iterator([]) }
        var arguments = arguments
        var results: [Value] = []
        if arguments.positional.isEmpty, let index = arguments.keyword.firstIndex(where: { $0.name == "attribute" }) {
            let path = try interpreter.attributePath(arguments.keyword.remove(at: index).value)
            var fallback: Value?
            if let index = arguments.keyword.firstIndex(where: { $0.name == "default" }) {
                let value = arguments.keyword.remove(at: index).value
                if case .null = value {} else { fallback = value }
            }
            if let unexpected = arguments.keyword.first {
                throw interpreter.fail("unexpected keyword argument '\(unexpected.name)'")
            }
            for element in try interpreter.elements(of: value) {
                results.append(try interpreter.attribute(path, of: element, default: fallback))
            }
            return try interpreter.iterator(results)
        }
        guard !arguments.positional.isEmpty else { throw interpreter.fail("map requires a filter argument") }
        let name = try interpreter.requireString(arguments.positional.removeFirst(), "the name of a filter")
        guard let filter = named[name] else { throw interpreter.fail("no filter named '\(name)'") }
        for element in try interpreter.elements(of: value) {
            try interpreter.charge()
            results.append(try filter.call(interpreter, element, arguments))
        }
        return try interpreter.iterator(results)
    }

    /// `select("test", arguments…)`, or with `byAttribute` `selectattr("attribute", "test", arguments…)`; without a
    /// test, by truth.
    private static func select(_ name: String, keeps: Bool, byAttribute: Bool) -> Filter {
        Filter(anything: name) { (interpreter, value, arguments) throws(JinjaError) in
            guard value.isTrue else { return try interpreter.iterator([]) }
            var arguments = arguments.all
            var path: [Value] = []
            if byAttribute {
                guard !arguments.positional.isEmpty else {
                    throw interpreter.fail("missing parameter for attribute name")
                }
                path = try interpreter.attributePath(arguments.positional.removeFirst())
            }
            var test: ValueTest?
            if !arguments.positional.isEmpty {
                let name = try interpreter.requireString(arguments.positional.removeFirst(), "the name of a test")
                guard let found = ValueTest.named[name] else { throw interpreter.fail("no test named '\(name)'") }
                test = found
            }
            var results: [Value] = []
            for element in try interpreter.elements(of: value) {
                try interpreter.charge()
                let subject = try interpreter.attribute(path, of: element)
                let passes = try test?.call(interpreter, subject, arguments) ?? subject.isTrue
                if passes == keeps { results.append(element) }
            }
            return try interpreter.iterator(results)
        }
    }
}
