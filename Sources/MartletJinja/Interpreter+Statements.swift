extension Interpreter {
    /// How a statement ended.
    enum Flow { case next, `break`, `continue` }

    func execute(_ statements: [Statement]) throws(JinjaError) -> Flow {
        try enter()
        defer { leave() }
        for statement in statements {
            line = statement.line
            let flow = try execute(statement)
            if flow != .next { return flow }
        }
        return .next
    }

    private func execute(_ statement: Statement) throws(JinjaError) -> Flow {
        switch statement.kind {
        case .text(let text): try emit(text)
        case .output(let expression):
            let value = try evaluate(expression)
            try emit(try text(value))
        case .if(let branches, let otherwise):
            for (condition, body) in branches where try isTrue(condition) { return try execute(body) }
            return try execute(otherwise)
        case .for(let loop): try execute(loop, line: statement.line)
        case .set(let target, let expression): try assign(target, try evaluate(expression))
        case .setBlock(let target, let filters, let body):
            guard let text = try captureScoped(body, filters: filters) else { return .next }
            try assign(target, text)
        case .with(let assignments, let body): return try executeWith(assignments, body)
        case .macro(let definition):
            if let symbol = definition.symbol { assign(symbol, .object(makeMacro(definition))) }
        case .call(let callee, let argumentExpressions, let caller):
            let function = try evaluate(callee)
            var arguments = try evaluate(argumentExpressions)
            arguments.keyword.append(("caller", .object(makeMacro(caller))))
            try emit(try text(try call(function, arguments)))
        case .filter(let filters, let body):
            if let value = try captureScoped(body, filters: filters) { try emit(try text(value)) }
        case .scoped(let body):
            return try within(Scope(parent: scope)) { () throws(JinjaError) in try execute(body) }
        case .block(let body):
            return try within(Scope(parent: nil)) { () throws(JinjaError) in try execute(body) }
        case .break: return .break
        case .continue: return .continue
        }
        return .next
    }

    private func isTrue(_ condition: Expression) throws(JinjaError) -> Bool { try evaluate(condition).isTrue }

    /// The filtered text of a body with variables of its own.
    private func captureScoped(_ body: [Statement], filters: [FilterExpression]) throws(JinjaError) -> Value? {
        let inner = Scope(parent: scope)
        let captured = try capture { () throws(JinjaError) in
            _ = try within(inner) { () throws(JinjaError) in try execute(body) }
        }
        var value = try string(captured)
        for filter in filters { value = try apply(filter, to: value) }
        return value
    }

    private func executeWith(
        _ assignments: [(target: Target, value: Expression)], _ body: [Statement]
    ) throws(JinjaError) -> Flow {
        // Every value is computed outside, so that assignments do not see one another.
        var values: [Value] = []
        for assignment in assignments { values.append(try evaluate(assignment.value)) }
        return try within(Scope(parent: scope)) { () throws(JinjaError) in
            for (assignment, value) in zip(assignments, values) { try assign(assignment.target, value) }
            return try execute(body)
        }
    }

    // MARK: Assignment

    func assign(_ target: Target, _ value: Value) throws(JinjaError) {
        switch target {
        case .variable(let symbol): assign(symbol, value)
        case .namespaceAttribute(let symbol, let attribute):
            guard case .object(let object) = lookUp(symbol), let namespace = object as? Namespace else {
                throw fail("cannot assign attribute on non-namespace object")
            }
            namespace.attributes.set(.string(attribute), value)
        case .tuple(let targets):
            let elements = try elements(of: value)
            guard elements.count == targets.count else {
                throw fail("expected \(targets.count) values to unpack, got \(elements.count)")
            }
            for (target, element) in zip(targets, elements) { try assign(target, element) }
        }
    }

    // MARK: Loops

    private func execute(_ loop: ForStatement, line: Int) throws(JinjaError) {
        let items = try elements(of: try evaluate(loop.iterable))
        try run(loop, over: items, depth0: 0, parent: scope)
    }

    /// The text of another round through a recursive loop: `loop(children)`.
    func recurse(into context: LoopContext, over iterable: Value) throws(JinjaError) -> Value {
        guard let (loop, parent) = context.recursion else {
            throw fail("the loop must have the 'recursive' marker to be called recursively")
        }
        // Twice, because this takes more stack than other evaluations.
        try enter()
        try enter()
        defer {
            leave()
            leave()
        }
        let items = try elements(of: iterable)
        let text = try capture { () throws(JinjaError) in
            try run(loop, over: items, depth0: context.depth0 + 1, parent: parent)
        }
        return try string(text)
    }

    private func run(_ loop: ForStatement, over items: [Value], depth0: Int, parent: Scope?) throws(JinjaError) {
        let inner = Scope(parent: parent)
        let outer = scope
        scope = inner
        defer { scope = outer }
        var items = items
        if let condition = loop.condition {
            var selected: [Value] = []
            for item in items {
                inner.removeAll()
                try assign(loop.target, item)
                if try isTrue(condition) { selected.append(item) }
            }
            items = selected
        }
        let context = LoopContext(items: try makeList(items), depth0: depth0)
        if loop.isRecursive { context.recursion = (loop, parent) }
        defer { context.recursion = nil }
        // Jinja's `else` follows where no round came to its end: there was none, or all ended in `break` or `continue`.
        var isThrough = false
        for (index, item) in items.enumerated() {
            // The variables of the body live for one round.
            inner.removeAll()
            context.index0 = index
            inner.set(Parser.loopSymbol, .object(context))
            try assign(loop.target, item)
            let flow = try execute(loop.body)
            if flow == .next { isThrough = true }
            if flow == .break { break }
        }
        if !isThrough {
            inner.removeAll()
            _ = try execute(loop.otherwise)
        }
    }
}
